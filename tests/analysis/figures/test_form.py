"""The form of figures: width, plainness, captions beside, and SVGs that follow light and dark."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib.image
import pytest
import typer
from matplotlib.text import Text
from typer.testing import CliRunner

from analysis.figures import accuracy_cost
from analysis.figures.all import draw_all
from analysis.figures.drawing import svg
from analysis.figures.drawing.form import Form, form, inches, shaped
from analysis.figures.drawing.page import pages
from analysis.stats.group import groups
from analysis.verbs import register
from study.errors import StudyError

SVG = "{http://www.w3.org/2000/svg}"
WORDS = ["none", "0010", "0100", "0110", "1111"]


@pytest.fixture
def frame(crowd):
    runs = crowd(2, ["detection"])
    return runs[runs["mechanism"].isin(WORDS)].reset_index(drop=True)


def figure(frame):
    ((_, heading, members),) = pages(groups(frame, "none"))
    image = accuracy_cost.figure(members, heading)
    image.draw_without_rendering()
    return image


@pytest.mark.parametrize(
    ("text", "expected"),
    [("3.25in", 3.25), ("85mm", 85 / 25.4), ("8.5cm", 8.5 / 2.54), (" 7 IN ", 7.0)],
)
def test_a_width_is_read_with_its_unit(text, expected):
    assert inches(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["3.25", "in", "-3in", "3.25 px", "wide", "", "0.1in", "90cm"])
def test_no_width_or_an_impossible_one_is_refused_with_what_would_be_right(text):
    with pytest.raises(StudyError, match=r"such as 3\.25in|2\.5in to 20in wide"):
        inches(text)


def test_every_figure_has_the_width_that_is_asked_for(frame, tmp_path):
    with shaped(Form(inches("85mm"), plain=True)):
        written = [path for paths in draw_all(frame, tmp_path, "none").values() for path in paths]
    images = [path for path in written if path.suffix == ".png"]
    assert len(images) >= 4
    for path in images:
        assert matplotlib.image.imread(path).shape[1] == int(85 / 25.4 * 200), path.name
        root = ElementTree.parse(path.with_suffix(".svg")).getroot()
        assert float(root.attrib["width"].removesuffix("pt")) == pytest.approx(85 / 25.4 * 72)
        box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", path.with_suffix(".pdf").read_bytes())
        assert float(box[1]) == pytest.approx(85 / 25.4 * 72)


def test_text_in_a_column_of_a_paper_can_be_read_and_is_not_cut_off(frame):
    with shaped(Form(3.25)):
        image = figure(frame)
    sizes = {text.get_fontsize() for text in image.findobj(Text) if text.get_text()}
    assert min(sizes) >= 7
    box = image.get_tightbbox()
    assert 0 <= box.x0 <= box.x1 <= 3.25


def test_panels_of_a_narrow_figure_stand_below_each_other(frame):
    second = frame.assign(sites="conv5", id=frame["id"] + "-conv5")
    both = [*groups(frame, "none"), *groups(second, "none")]
    for width, rows in ((3.25, 2), (6.5, 1)):
        with shaped(Form(width)):
            image = accuracy_cost.figure(both, "a heading")
        assert len({round(axes.get_position().y0, 3) for axes in image.axes}) == rows


def test_a_plain_figure_has_neither_heading_nor_notes_and_the_caption_has_both(frame):
    usual = figure(frame)
    with shaped(Form(plain=True)):
        plain = figure(frame)
    assert plain.get_suptitle() == ""
    assert plain.texts == []
    assert plain.axes[0].get_title(loc="left") == ""
    assert plain.get_label() == usual.get_label()
    assert plain.get_figheight() < usual.get_figheight()
    assert form() == Form()


@pytest.mark.parametrize("plain", [True, False])
def test_captions_stand_beside_the_images_in_words(frame, tmp_path, plain):
    with shaped(Form(plain=plain)):
        drawn = draw_all(frame, tmp_path, "none")
    for paths in drawn.values():
        for path in (path for path in paths if path.suffix == ".png"):
            assert path.with_suffix(".txt") in paths
    first, *notes = (tmp_path / "detection-trees.txt").read_text().splitlines()
    assert first == "mAP against MACs of the mechanism: detection on trees, at conv4.conv5."
    assert "Data: trees: 60 aerial images, 100% public_domain." in notes
    assert any(note.startswith("Bars: 95 % interval of the mean by the model") for note in notes)


def test_names_without_room_are_in_the_caption(crowd):
    with shaped(Form(2.5, plain=True)):
        image = figure(crowd(2, ["detection"]))
    (note,) = (line for line in image.get_label().split("\n") if "want of room" in line)
    left_out = note.partition("want of room: ")[2].removesuffix(" (conv4.conv5).").split(", ")
    shown = [text.get_text().split(",") for text in image.axes[0].texts]
    assert left_out
    assert not {*left_out} & {word.strip() for words in shown for word in words}


def test_an_svg_is_transparent_and_its_text_has_the_colour_of_the_page(frame, tmp_path):
    accuracy_cost.draw(groups(frame, "none"), tmp_path)
    text = (tmp_path / "detection-trees.svg").read_text()
    root = ElementTree.fromstring(text)
    assert root.attrib["class"] == "figure"
    assert root.attrib["color"] == svg.INK
    for patch in ("patch_1", "patch_2"):  # the page, and the panel
        (path,) = root.findall(f".//{SVG}g[@id='{patch}']/{SVG}path")
        assert "fill: none" in path.attrib["style"] or "opacity: 0" in path.attrib["style"]
    inked = [part.attrib["style"] for part in root.iter() if "style" in part.attrib]
    assert not any(ink in style for ink in svg.INKS for style in inked)
    assert any("fill: currentColor" in style for style in inked)
    assert "@media (prefers-color-scheme: dark)" in text


@pytest.fixture
def study(monkeypatch, tmp_path, frame, store):
    monkeypatch.chdir(tmp_path)
    store(frame, tmp_path)
    app = typer.Typer()
    register(app)
    return lambda *words: CliRunner().invoke(app, ["plot", "--table", "runs.csv", *words])


def test_the_verb_passes_the_form_on(study, tmp_path):
    done = study("--plain", "--width", "3.25in", "--out", "drawn")
    assert done.exit_code == 0, done.output
    image = matplotlib.image.imread(tmp_path / "drawn" / "detection-trees.png")
    assert image.shape[1] == 650
    assert (tmp_path / "drawn" / "detection-trees.txt").is_file()


def test_a_bad_width_stops_the_verb_before_anything_is_read(study, tmp_path):
    done = study("--width", "3.25", "--out", "drawn")
    assert isinstance(done.exception, StudyError)
    assert not (tmp_path / "drawn").exists()
