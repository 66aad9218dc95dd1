"""All kinds together: the same bytes from the same runs, nothing clipped, and the verb."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from analysis.figures import accuracy_cost, curves
from analysis.figures import effects as effect_figures
from analysis.figures.all import draw_all, kinds
from analysis.paper import comparison, overview, verdicts
from analysis.runs import table as runs_table
from analysis.stats.group import groups
from analysis.verbs import register
from study.errors import StudyError

KINDS = ("", "-time", "-parameters", "-deformable", "-range", "-curves")
FIGURES = {
    f"{place}{kind}" for place in ("detection-trees", "translation-software") for kind in KINDS
}
FIGURES |= {"overview", "effects", "verdicts"}


@pytest.fixture
def images(monkeypatch):
    """The figures that would be written, by file name."""
    found = {}

    def catch(image, out):
        found[out.name] = image
        return []

    for module in (accuracy_cost, comparison, curves, overview, effect_figures, verdicts):
        monkeypatch.setattr(module, "write", catch)
    return found


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


def test_the_same_table_gives_the_same_bytes_in_another_process_and_order(crowd, store, tmp_path):
    words = ["none", "0010", "0100", "1111", "dynamic", "none+deformable"]
    frame = crowd(2, ["detection"])
    frame = frame[frame["mechanism"].isin(words)]
    drawn = draw_all(frame, tmp_path / "here", "none")
    written = [path for paths in drawn.values() for path in paths]
    assert set(drawn) == set(kinds())
    assert len(written) == 8 * 4 + 2
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
    assert sorted(images) == [
        stem,
        f"{stem}-curves",
        f"{stem}-parameters",
        f"{stem}-time",
        "overview",
    ]
    assert draw_all(frame[1:], tmp_path, None) == {kind: [] for kind in kinds()}


def test_the_verb_reads_a_table_and_tells_what_it_cannot_draw(
    run, frame_of, store, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    store(frame_of(run("none", 0, 0.3), run("0010", 0, 0.4)), tmp_path)
    app = typer.Typer()
    register(app)
    done = CliRunner().invoke(app, ["plot", "--table", "runs.csv", "--out", "drawn"])
    assert done.exit_code == 0, done.output
    stem = "detection-trees"
    names = ["overview", stem, f"{stem}-time", f"{stem}-parameters", f"{stem}-curves"]
    expected = [f"drawn/{name}.{kind}" for name in names for kind in ("png", "svg", "pdf", "txt")]
    assert done.stdout.split() == expected
    assert all((tmp_path / path).is_file() for path in expected)
    assert done.stderr.splitlines() == [
        f"no figure of {kind}: it needs {kinds()[kind].needs}"
        for kind in ("controls", "verdicts", "effects", "deformable", "range")
    ]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Install a distribution with the figure that docs/figures.md adds, or another source."""
    page = (Path(__file__).parents[3] / "docs" / "figures.md").read_text(encoding="utf-8")
    source, line = (
        page.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "toml")
    )

    def install(source=source):
        (tmp_path / "yours").mkdir()
        (tmp_path / "yours" / "__init__.py").touch()
        (tmp_path / "yours" / "seeds.py").write_text(source, encoding="utf-8")
        group, entry = line.replace('"', "").splitlines()
        about = tmp_path / "yours-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: yours\nVersion: 1.0\n")
        entries = f"{group.replace('project.entry-points.', '')}\n{entry}\n"
        (about / "entry_points.txt").write_text(entries)
        monkeypatch.syspath_prepend(tmp_path)
        kinds.cache_clear()

    yield install
    for name in ("yours.seeds", "yours"):
        sys.modules.pop(name, None)
    kinds.cache_clear()


def test_a_figure_is_added_as_the_page_says(elsewhere, run, frame_of, images, tmp_path):
    elsewhere()
    names = [
        "overview",
        "controls",
        "cost",
        "verdicts",
        "effects",
        "time",
        "parameters",
        "deformable",
        "range",
        "curves",
        "seeds",
    ]
    assert list(kinds()) == names
    drawn = draw_all(frame_of(run("1111", 0, 0.4), run("1111", 1, 0.4)), tmp_path / "out", None)
    stem = "detection-trees-conv4.conv5-seeds"
    assert [path.name for path in drawn["seeds"]] == [
        f"{stem}.{k}" for k in ("png", "svg", "pdf", "txt")
    ]
    assert all(path.is_file() for path in drawn["seeds"])


def test_what_is_no_figure_is_refused_by_name(elsewhere):
    elsewhere("SEEDS = print\n")
    with pytest.raises(StudyError, match=r"yours\.seeds:SEEDS, the figure 'seeds', is no Kind"):
        kinds()
