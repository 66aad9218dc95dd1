"""All kinds together: the same bytes from the same runs, nothing clipped, and the verb."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from analysis.figures import accuracy_cost, curves
from analysis.figures import effects as effect_figures
from analysis.figures.all import draw_all, kinds
from analysis.paper import comparison, overview
from analysis.runs import table as runs_table
from analysis.stats.group import groups
from analysis.verbs import register
from study.errors import StudyError

KINDS = ("", "-time", "-deformable", "-range", "-curves")
FIGURES = {
    f"{place}{kind}" for place in ("detection-trees", "translation-software") for kind in KINDS
}
FIGURES |= {"overview", "effects"}


@pytest.fixture
def images(monkeypatch):
    """The figures that would be written, by file name."""
    found = {}

    def catch(image, out):
        found[out.name] = image
        return []

    for module in (accuracy_cost, comparison, curves, overview, effect_figures):
        monkeypatch.setattr(module, "write", catch)
    return found


def store(frame, folder: Path) -> list[Path]:
    """Write a table as ``study collect`` does."""
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    for row in rows:
        for name in runs_table.CURVES:
            row[name] = array("d", [number for point in row[name] for number in point])
    paths = [folder / "runs.parquet", folder / "runs.csv"]
    runs_table.write(runs_table.table(rows), *paths)
    return paths


def test_every_kind_is_drawn_and_no_text_leaves_the_page(crowd, images, tmp_path):
    draw_all(crowd(2, ["detection", "translation"]), tmp_path, "none")
    assert set(images) == FIGURES
    for name, image in images.items():
        width, height = image.get_size_inches()
        image.draw_without_rendering()
        box = image.get_tightbbox()
        assert 0 <= box.x0 <= box.x1 <= width, name
        assert 0 <= box.y0 <= box.y1 <= height, name


def test_long_headings_and_notes_are_broken_into_lines(crowd, images, tmp_path):
    frame = crowd(1, ["detection"])
    frame["data_card"] = "TREES: " + "MANY AERIAL IMAGES " * 40
    twin = frame.copy()
    keys = [f'"a_long_name_of_a_setting_{i}": {i}' for i in range(12)]
    twin["recipe"], twin["id"] = f"{{{', '.join(keys)}}}", "twin-" + twin["id"]
    accuracy_cost.draw(groups(pd.concat([frame, twin]), "none"), tmp_path)
    assert len(images) == 2
    for image in images.values():
        (axes,) = image.axes
        assert "\n" in image.get_suptitle()
        head, foot = (text.get_window_extent() for text in image.texts)
        assert max(head.x1, foot.x1) < image.bbox.x1
        assert foot.y1 < axes.get_tightbbox().y0
        assert head.y0 > axes.get_tightbbox().y1


def test_the_same_table_gives_the_same_bytes_in_another_process_and_order(crowd, tmp_path):
    words = ["none", "0010", "0100", "1111", "dynamic", "none+deformable"]
    frame = crowd(2, ["detection"])
    frame = frame[frame["mechanism"].isin(words)]
    drawn = draw_all(frame, tmp_path / "here", "none")
    written = [path for paths in drawn.values() for path in paths]
    assert set(drawn) == set(kinds())
    assert len(written) == 6 * 3 + 2
    parquet, text = store(frame.sample(frac=1, random_state=0), tmp_path)
    pd.testing.assert_frame_equal(runs_table.read(parquet), runs_table.read(text))
    code = (
        "import sys; from pathlib import Path; from analysis.runs import table as runs_table; "
        "from analysis.figures.all import draw_all; table, out = map(Path, sys.argv[1:]); "
        "draw_all(runs_table.read(table), out, 'none')"
    )
    there = tmp_path / "there"
    environment = os.environ | {"PYTHONHASHSEED": "1"}
    subprocess.run([sys.executable, "-c", code, text, there], check=True, env=environment)
    for path in written:
        assert (there / path.name).read_bytes() == path.read_bytes(), path.name
    assert b"<dc:date>" not in (tmp_path / "here" / "overview.svg").read_bytes()


def test_what_the_runs_do_not_allow_is_an_empty_list(run, frame_of, images, tmp_path):
    frame = frame_of(run("1111", 0, 0.4), run("0000", 0, float("nan"), state="failed"))
    draw_all(frame, tmp_path, None)
    stem = "detection-trees"
    assert sorted(images) == [stem, f"{stem}-curves", f"{stem}-time", "overview"]
    assert draw_all(frame[1:], tmp_path, None) == {kind: [] for kind in kinds()}


def test_the_verb_reads_a_table_and_tells_what_it_cannot_draw(run, frame_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store(frame_of(run("none", 0, 0.3), run("0010", 0, 0.4)), tmp_path)
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, ["plot", "--table", "runs.csv", "--out", "drawn"])
    assert done.exit_code == 0, done.output
    names = ["overview", "detection-trees", "detection-trees-time", "detection-trees-curves"]
    expected = [f"drawn/{name}.{kind}" for name in names for kind in ("png", "svg", "pdf")]
    assert done.stdout.split() == expected
    assert all((tmp_path / path).is_file() for path in expected)
    assert done.stderr.splitlines() == [
        f"no figure of {kind}: it needs {kinds()[kind].needs}"
        for kind in ("effects", "deformable", "range")
    ]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Install a distribution with a module and the entry point of a figure."""

    def install(source, place="seeds_figure:SEEDS"):
        (tmp_path / "seeds_figure.py").write_text(source)
        about = tmp_path / "seeds_figure-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: seeds-figure\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[study.figures]\nseeds = {place}\n")
        monkeypatch.syspath_prepend(tmp_path)
        kinds.cache_clear()

    yield install
    sys.modules.pop("seeds_figure", None)
    kinds.cache_clear()


SEEDS = """
from analysis.figures.kind import Kind

def draw(groups, out):
    out.mkdir(parents=True, exist_ok=True)
    path = out / "seeds.txt"
    path.write_text(", ".join(f"{g.metric.name} of {word}: {n}" for g in groups
                              for word, n in g.seeds.items()))
    return [path]

SEEDS = Kind("Seeds", "two seeds", draw, rank=35)
"""


def test_a_figure_of_another_distribution_is_drawn_among_the_others(
    elsewhere, run, frame_of, images, tmp_path
):
    elsewhere(SEEDS)
    names = ["overview", "cost", "effects", "seeds", "time", "deformable", "range", "curves"]
    assert list(kinds()) == names
    drawn = draw_all(frame_of(run("1111", 0, 0.4), run("1111", 1, 0.4)), tmp_path / "out", None)
    (path,) = drawn["seeds"]
    assert path.read_text() == "mAP of 1111: 2"


def test_what_is_no_figure_is_refused_by_name(elsewhere):
    elsewhere("SEEDS = print\n")
    with pytest.raises(StudyError, match="seeds_figure:SEEDS, the figure 'seeds', is no Kind"):
        kinds()
