"""The verbs: what is asked about, where it goes, and what is said when there is nothing."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from analysis.commands.question import finished, questions
from analysis.runs.table import read
from analysis.verbs import register
from study.errors import StudyError
from study.runs.archive import store
from study.runs.folder import RunFolder


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Return a function that runs one verb in `tmp_path`, with `runs` as the results root."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    register(app)

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--runs", "runs"], catch_exceptions=True)
        if isinstance(result.exception, StudyError | OSError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


@pytest.fixture
def grid(monkeypatch):
    """Stand in for the reading of grid files: g.yaml asks for two mechanisms with two seeds."""

    def load(path):
        cells = [(m, s) for m in ("0010", "none") for s in (0, 1)]
        runs = [
            SimpleNamespace(
                id=ids.get(cell, "not-yet-there"),
                task="detection",
                mechanism=cell[0],
                sites=("conv4", "conv5"),
                seed=cell[1],
            )
            for cell in cells
        ]
        return SimpleNamespace(
            name=f"demo/{path.stem}", task="detection", baseline="none", runs=lambda: runs
        )

    ids: dict[tuple[str, int], str] = {}
    monkeypatch.setattr("study.grid.reading.load", load)
    monkeypatch.setattr("study.grid.reading.find", lambda paths: [Path(p) for p in paths])
    return ids


def test_collect_writes_every_run_and_names_the_broken_ones(call, make_run, tmp_path):
    make_run("none", 0, 0.3)
    make_run("0010", 0, None)
    broken = make_run("1111", 0, 0.3)
    (broken / "run.json").write_text("{")
    output = call("collect").stdout
    assert "2 runs, 1 completed -> results/runs.parquet, results/runs.csv" in output
    assert f"skipped runs/{broken.name}: " in output
    again = call("collect").stdout
    assert "nothing changed: 2 runs, 1 completed in results/runs.parquet" in again
    assert f"skipped runs/{broken.name}: " in again
    frame = pd.read_csv(tmp_path / "results/runs.csv", dtype={"mechanism": str})
    assert frame["mechanism"].tolist() == ["0010", "none"]
    assert frame["state"].tolist() == ["planned", "completed"]


@pytest.mark.parametrize("out", ["out/all.csv", "out/all.parquet", "out/all"])
def test_collect_takes_a_run_of_two_grids_once(call, make_run, grid, tmp_path, out):
    grid["none", 0] = make_run("none", 0, 0.3).name
    make_run("1111", 0, 0.3)  # in no grid
    output = call("collect", "a.yaml", "b.yaml", "--out", out).stdout
    assert "1 runs, 1 completed -> out/all.parquet, out/all.csv" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"all.parquet", "all.csv"}
    assert len(read(tmp_path / "out/all.csv")) == 1


def test_collect_refuses_a_folder_as_its_file(call, make_run):
    make_run()
    with pytest.raises(StudyError, match=r"runs is a folder; name a file, such as runs/runs\.par"):
        call("collect", "--out", "runs")


def test_a_table_stands_for_the_folders_that_it_was_made_of(call, make_run, grid, tmp_path):
    for mechanism, seed in (("none", 0), ("0010", 1), ("1111", 0)):
        grid[mechanism, seed] = make_run(mechanism, seed, 0.3).name
    call("collect")
    (question,) = questions([Path("g.yaml")])
    (everything,) = questions(None)
    there = finished(question, tmp_path / "runs")
    assert there["mechanism"].tolist() == ["0010", "none"]  # as the grid has them
    shutil.rmtree(tmp_path / "runs")
    for kind in ("csv", "parquet"):
        table = tmp_path / f"results/runs.{kind}"
        pd.testing.assert_frame_equal(finished(question, tmp_path / "runs", table), there)
        assert len(finished(everything, tmp_path / "runs", table)) == 3


def test_a_table_without_a_finished_run_is_named(make_run, call, tmp_path):
    make_run("none", 0, None)
    call("collect")
    (everything,) = questions(None)
    with pytest.raises(
        StudyError, match=r"no finished run in .*runs\.csv; bring it up: study coll"
    ):
        finished(everything, tmp_path / "runs", tmp_path / "results/runs.csv")


def test_table_of_a_grid_shows_its_runs_and_its_gaps_only(call, make_run, grid):
    grid["none", 0] = make_run("none", 0, 0.3).name
    grid["none", 1] = make_run("none", 1, 0.3).name
    make_run("1111", 0, 0.3)
    output = call("table", "g.yaml").stdout
    assert "### detection · trees · conv4.conv5 · demo/g" in output
    assert "missing: seeds 0, 1 of 0010" in output
    assert "1111" not in output


def test_table_of_everything_compares_with_none(call, make_run):
    make_run("none", 0, 0.3)
    make_run("0010", 0, 0.35)
    assert "+5.00" in call("table").stdout


def test_csv_on_standard_output_is_csv_and_nothing_else(call, make_run):
    make_run("0010", 0, 0.35)
    (make_run("none", 0, 0.3) / "run.json").write_text("")
    result = call("table", "--format", "csv")
    frame = pd.read_csv(io.StringIO(result.stdout), comment="#", dtype={"mechanism": str})
    assert frame["mechanism"].tolist() == ["0010"]
    assert "skipped" in result.stderr


@pytest.mark.parametrize(("name", "start"), [("latex", "% needs"), ("markdown", "### detection")])
def test_table_writes_a_file_when_told_so(call, make_run, tmp_path, name, start):
    make_run("0010", 0, 0.35)
    assert call("table", "--format", name, "--out", "new/t").stdout == "new/t\n"
    assert (tmp_path / "new/t").read_text().startswith(start)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["table", "--out", "runs"], "--out runs is a folder; name a file, such as runs/table.md"),
        (["table", "--out", "t.xlsx"], r".xlsx is none of the formats; valid: .md, .* .csv, .tex"),
        (["table", "--out", "t.csv"], "to be written as markdown; add --format csv"),
        (["effects", "--out", "t.tex"], "to be written as markdown; add --format latex"),
        (["claims", "--format", "csv", "--out", "t.json"], "as csv; add --format json"),
        (["claims", "--out", "t.tex"], ".tex is none of the formats; valid: .*, .json"),
    ],
)
def test_a_file_that_is_not_of_the_format_is_refused_before_anything_is_read(call, words, message):
    Path("runs").mkdir()
    with pytest.raises(StudyError, match=message):
        call(*words)
    assert [path.name for path in Path().iterdir()] == ["runs"]


def test_an_error_in_writing_names_what_was_to_be_written(call, make_run, tmp_path):
    make_run()
    make_run("none")
    for words, name in (
        (["table", "--out", "/proc/x.md"], "/proc/x.md"),
        (["collect", "--out", "/proc/x"], "/proc/x.csv"),
        (["report", "--out", "/proc/x"], "/proc/x"),
        (["plot", "--out", "/proc/x"], "/proc/x"),
    ):
        with pytest.raises(OSError, match="No such file") as raised:
            call(*words)
        assert raised.value.filename == name


def test_plot_writes_a_folder_for_each_grid(call, make_run, grid, tmp_path):
    grid["0010", 1] = make_run("0010", 1, 0.3).name
    listed = call("plot", "g.yaml").stdout.split()
    folder = "results/figures/demo/g"
    assert {f"{folder}/detection-trees.{kind}" for kind in ("png", "svg", "pdf")} <= {*listed}
    assert all(path.startswith(f"{folder}/") for path in listed)
    assert all((tmp_path / path).is_file() for path in listed)


def test_plot_shows_the_runs_of_several_grids_together_too(call, make_run, grid):
    grid["0010", 1] = make_run("0010", 1, 0.3).name
    listed = call("plot", "g.yaml", "h.yaml").stdout.split()
    for folder in ("demo", "demo/g", "demo/h"):
        assert f"results/figures/{folder}/overview.png" in listed


def test_plot_draws_verdicts_by_the_margin_that_is_registered(
    call, make_run, grid, tmp_path, monkeypatch
):
    for mechanism, seed in (("none", 0), ("none", 1), ("0010", 0), ("0010", 1)):
        value = 0.3 + 0.01 * seed + 0.05 * (mechanism == "0010")
        grid[mechanism, seed] = make_run(mechanism, seed, value).name
    caption = tmp_path / "results/figures/demo/g/verdicts.txt"
    call("plot", "g.yaml")
    assert "One margin: 0.005 mAP." in caption.read_text()
    entry = SimpleNamespace(plan={"margins": {"mAP": 0.02}})
    monkeypatch.setattr("analysis.registered.file.read", lambda path: [entry])
    call("plot", "g.yaml")
    assert "One margin: 0.02 mAP." in caption.read_text()


def test_archived_runs_that_no_grid_asks_for_are_not_there_without_a_word(
    call, make_run, tmp_path, monkeypatch
):
    make_run("none", 0, 0.3)
    assert "archived" not in call("table").stderr
    there = make_run("0010", 0, 0.35)
    store(RunFolder(there), tmp_path / f"kept/{there.name}.json")
    shutil.rmtree(there)
    monkeypatch.setenv("STUDY_RESULTS", "kept")
    result = call("table")
    assert "| 0010" in result.stdout
    assert result.stderr == "1 of the runs are archived in kept\n"


@pytest.mark.parametrize("verb", ["table", "plot"])
def test_without_a_finished_run_the_command_that_makes_one_is_named(call, make_run, grid, verb):
    grid["0010", 0] = make_run("0010", 0, None).name
    with pytest.raises(StudyError, match=r"of grid demo/g under runs; .* study run g\.yaml"):
        call(verb, "g.yaml")
    with pytest.raises(StudyError, match=r"no finished run under runs; .* study run"):
        call(verb)


def test_the_results_root_may_come_from_the_environment(make_run, tmp_path, monkeypatch):
    make_run("0010", 0, 0.35)
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    app = typer.Typer()
    register(app)
    assert "35.00" in CliRunner().invoke(app, ["table"]).stdout


def test_help_needs_neither_pandas_nor_matplotlib():
    code = (
        "import sys, typer, analysis.verbs as v; app = typer.Typer(); v.register(app)\n"
        "typer.main.get_command(app)\n"
        "print({'pandas', 'pyarrow', 'matplotlib', 'scipy', 'pydantic'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize("verb", ["table", "claims", "effects"])
def test_a_grid_without_results_does_not_hide_the_others(tmp_path, verb):
    """The archived pilot beside a grid that nobody has begun."""
    (tmp_path / "runs").mkdir()
    here = Path(__file__).parents[2]
    command = [sys.executable, "-m", "study", verb, "grids/embedded/cross.yaml"]
    command += ["grids/coco/deformable.yaml", "--runs", str(tmp_path / "runs")]
    done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "software-en-de" in done.stdout
    assert "left out: no finished run of grid coco/deformable" in done.stderr
