"""`study archive`: small files, the same every time, that stand for a finished run everywhere."""

import io
import json
import shutil

import pandas as pd
import pytest

from .conftest import study
from .made import ended, everything, finished, planned

GRID = "task: toy\nproduct: {mechanism: [none, 1111]}\nbaseline: none\n"


@pytest.fixture
def grid(toy):
    """A grid of two runs."""
    return toy(GRID)


@pytest.fixture
def root(grid, tmp_path):
    """Its runs, finished."""
    root = tmp_path / "runs"
    finished(planned(root, "none"), score=0.25)
    finished(planned(root, "1111"), score=0.75, lines=5000)
    return root


def archive(grid, *options):
    done = study("archive", grid, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_an_archive_is_small_keeps_what_was_measured_and_never_changes(grid, root, tmp_path):
    assert "2 runs archived in results" in archive(grid)
    files = sorted((tmp_path / "results" / "grid").iterdir())
    assert [file.stem.split("-")[3] for file in files] == ["1111", "none"]
    assert all(file.stat().st_size < 20_000 for file in files)
    content = json.loads(files[0].read_text())
    steps = [line["step"] for line in content["metrics"] if line["split"] == "train"]
    assert (steps[0], steps[-1], len(steps)) == (1, 5000, 100)
    assert [m["score"] for m in content["metrics"] if m["split"] != "train"] == [0.0, 0.75]
    assert content["attempts"][0]["exit"]["cause"] == "completed"
    assert len(content["provenance"]["diff"]) == 4000
    assert len(content["provenance"]["diff_sha256"]) == 64
    before = everything(tmp_path / "results")
    assert "0 runs archived in results, 2 archived before" in archive(grid)
    assert everything(tmp_path / "results") == before
    archive(grid, "--out", "elsewhere")
    for file in files:
        assert (tmp_path / "elsewhere/grid" / file.name).read_bytes() == file.read_bytes()


def test_archived_runs_count_as_done_without_their_folders(grid, root, tmp_path):
    first = study("table", grid, "--format", "csv").stdout
    archive(grid)
    shutil.rmtree(root)
    root.mkdir()
    assert "2 completed (2 archived)" in study("plan", grid, "--no-cost").stdout
    assert study("status", grid).returncode == 0
    assert all(row["archived"] for row in json.loads(study("status", "--json").stdout))
    done = study("run", grid)
    assert "nothing to do: 2 completed (2 archived)" in done.stdout
    assert done.returncode == 0
    assert list(root.iterdir()) == []
    assert study("table", grid, "--format", "csv").stdout == first
    table = pd.read_csv(io.StringIO(study("table", "--format", "csv").stdout), comment="#")
    assert table.loc[table["mechanism"] == "1111", ["n", "mean"]].values.tolist() == [[1, 0.75]]
    larger = study("run", _seeds(grid))
    assert "2 of 4 runs to train" in larger.stdout
    assert "4 completed (2 archived)" in larger.stdout
    name = next((tmp_path / "results/grid").glob("*1111*")).stem
    assert "4 runs match 'toy'" in study("inspect", "toy").stderr
    assert "(archived)" in study("inspect", name).stdout
    assert "its logs are not" in study("logs", name).stderr


def test_the_run_folder_wins_over_its_archive(grid, root, tmp_path, monkeypatch):
    archive(grid, "--out", "kept")
    monkeypatch.setenv("STUDY_RESULTS", "kept")
    folder = next(root.glob("*1111*"))
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "attempts")
    ended(planned(root), "failed", "ValueError: trained again, and badly")
    assert "1 failed" in study("status", grid).stdout
    study("collect", grid, "--out", "all.csv")
    assert sorted(pd.read_csv("all.csv")["state"]) == ["completed", "failed"]
    shutil.rmtree(folder / "attempts")  # opened, but never begun: then the archive counts
    assert "2 completed (1 archived)" in study("status", grid).stdout
    study("collect", grid, "--out", "all.csv")
    assert pd.read_csv("all.csv")["state"].tolist() == ["completed", "completed"]


def test_another_content_is_an_error_that_shows_the_difference(grid, root, tmp_path):
    archive(grid)
    path = next(root.glob("*1111*")) / "result.json"
    result = json.loads(path.read_text())
    path.write_text(json.dumps(result | {"metrics": {"score": 0.8}}))
    before = everything(tmp_path / "results")
    refused = study("archive", grid)
    assert refused.returncode == 2
    assert "result.metrics.score: 0.75 -> 0.8" in refused.stderr
    assert everything(tmp_path / "results") == before


CONFLICT = "<<<<<<< HEAD\n{text}=======\n{text}>>>>>>> theirs\n"


def _other_run(text):
    return text.replace('"seed": 0', '"seed": 1').replace("-s0-", "-s1-")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda text: text[:300], "empty or torn JSON"),
        (lambda text: "", "empty or torn JSON"),
        (lambda text: CONFLICT.format(text=text), "empty or torn JSON"),
        (lambda text: text.replace('"score": 0.75', '"other": 0.75'), "has no value of score"),
        (lambda text: text.replace('"metric": "score", ', ""), "its 'result' has no 'metric'"),
        (_other_run, "its 'run' is of another run, toy-toy-data-1111-a-s1-"),
        (lambda text: text.replace('"hash": "', '"hash": "0'), "its 'run' is of another run"),
    ],
)
def test_an_archive_that_does_not_hold_its_run_is_broken_and_named(
    grid, root, tmp_path, damage, told
):
    archive(grid)
    shutil.rmtree(root)
    root.mkdir()
    (file,) = (tmp_path / "results/grid").glob("*1111*.json")
    file.write_text(damage(file.read_text()))
    assert "1 completed (1 archived)" in study("plan", grid, "--no-cost").stdout
    shown = study("status", grid)
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "1 broken" in shown.stdout
    done = study("run", grid)
    assert (done.returncode, done.stderr) == (1, "")
    assert "nothing to do: 1 completed (1 archived), 1 broken" in done.stdout
    for printed in (shown.stdout, done.stdout):
        assert told in printed.replace("\n", " ")
        assert f"results/grid/{file.name}" in printed
        assert "restore that file, or move it away" in printed
    file.unlink()
    assert "1 of 2 runs to train" in study("run", grid).stdout


def test_what_is_not_finished_is_left_out_and_a_torn_archive_is_named(grid, root, tmp_path):
    (next(root.glob("*1111*")) / "result.json").unlink()
    assert "1 runs archived in results, 1 not finished" in archive(grid)
    (file,) = (tmp_path / "results/grid").iterdir()
    file.write_text('{"schema": 1')
    torn = study("archive", grid)
    assert torn.returncode == 2
    assert file.name in torn.stderr
    shutil.rmtree(root)
    root.mkdir()
    collected = study("collect", grid, "--out", "all.csv")
    assert "Traceback" not in collected.stderr
    file.write_text('{"schema": 99}')
    assert "schema 99 is newer" in study("inspect", file.stem).stderr


def _seeds(grid):
    grid.write_text(GRID + "seeds: [0, 1]\n")
    return grid
