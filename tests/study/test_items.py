"""What the metric is made of stays with a run: that of its last evaluation, or nothing."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from toy import runs, submit

from study.errors import StudyError
from study.runs.archive import ArchivedRun, index
from study.runs.folder import RunFolder
from study.runs.items import FILE, write_items
from study.worker.job import job_of

from .conftest import study
from .made import finished, planned, toy_run, toy_task

GRID = "task: toy\nrecipe: {items: 5}\nproduct: {mechanism: [1111]}\n"
ARRAYS = {"item": np.arange(3), "points": np.arange(3.0)}


def trained(grid):
    submit(grid, verb="run")
    (folder,) = runs()
    return folder


def value(items, weights=None):
    weights = np.ones((1, len(items["item"])), int) if weights is None else weights
    return toy_task().value_of_items(items, weights)


def again(folder, done):
    """Let a run go on after so many steps, as if it had been killed there."""
    (folder.path / "result.json").unlink()
    (folder.path / "checkpoints/count").write_text(str(done))


def test_a_run_keeps_those_of_its_last_evaluation(toy):
    folder = trained(toy(GRID))
    items = folder.items
    assert set(items) == {"item", "points"}
    assert value(items)[0] == pytest.approx(folder.result["metrics"]["score"], abs=1e-12)
    assert value(items, np.array([[0, 0, 3, 0, 0], [1, 0, 0, 0, 0]])).tolist() == [
        items["points"][2], items["points"][0]
    ]  # fmt: skip
    assert (folder.path / FILE).stat().st_mode & 0o044  # as all that colleagues may read


def test_they_can_be_left_out_without_renaming_the_run(toy, monkeypatch):
    monkeypatch.setenv("STUDY_ITEMS", "0")
    without = trained(toy(GRID))
    assert without.items is None
    assert not (without.path / FILE).exists()
    monkeypatch.delenv("STUDY_ITEMS")
    shutil.rmtree(without.path)
    assert trained(toy(GRID)).path == without.path
    assert without.items is not None


def test_a_task_that_hands_over_nothing_leaves_no_file(toy):
    folder = trained(toy(GRID.replace("5", "0")))
    assert folder.result
    assert folder.items is None


def test_a_run_that_was_killed_before_its_result_still_has_them(toy):
    folder = trained(toy(GRID))
    before = folder.items["points"]
    again(folder, 3)
    trained(toy(GRID))
    assert folder.result["attempts"] == 2
    assert folder.items["points"].tolist() == before.tolist()


@pytest.mark.parametrize("wanted", ["1", "0"])
def test_a_resumed_run_has_none_of_another_evaluation(toy, monkeypatch, tmp_path, wanted):
    folder = trained(toy(GRID))
    again(folder, 1)
    module = tmp_path / "site/toytask/train.py"
    module.write_text(module.read_text().replace("random.Random(", "random.Random(7 + "))
    monkeypatch.setenv("STUDY_ITEMS", wanted)
    before = folder.items["points"].tolist()
    trained(toy(GRID))
    assert folder.result["attempts"] == 2
    if wanted == "0":
        assert folder.items is None
        assert (
            f"{FILE} is not of the last evaluation: removed"
            in (folder.newest.path / "stdout").read_text()
        )
        return
    assert folder.items["points"].tolist() != before
    assert value(folder.items)[0] == pytest.approx(folder.result["metrics"]["score"], abs=1e-12)


@pytest.fixture
def job(monkeypatch, tmp_path):
    """A job of the toy task in this process."""
    monkeypatch.setattr("study.worker.job.find_task", lambda name: toy_task())
    monkeypatch.setattr("study.worker.job.data.path", lambda name: tmp_path)
    return lambda: job_of(toy_run().science, RunFolder(tmp_path), "cpu")


def test_what_is_of_no_val_record_is_not_kept(job, tmp_path):
    made = job()
    made.items(ARRAYS)
    made.record("untrained", step=0, score=0.0)
    made.record("val", step=1, score=0.1)
    assert RunFolder(tmp_path).items is None
    made.items(ARRAYS)
    made.record("val", step=2, score=0.1)
    assert RunFolder(tmp_path).items.keys() == ARRAYS.keys()


def test_the_first_process_alone_writes(job, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    made = job()
    made.items(ARRAYS)
    made.record("val", step=1, score=0.1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"points": np.arange(3)}, "no array 'item', but 'points'"),
        ({"item": np.zeros((2, 2))}, r"'item' is no list but has the shape \(2, 2\)"),
        ({"item": np.array([1, 2, 1])}, "'item' has an item twice"),
        (ARRAYS | {"names": np.array([{}])}, "'names' is an array of objects"),
    ],
)
def test_a_task_that_hands_over_something_else_is_told(job, tmp_path, arrays, told):
    made = job()
    made.items(arrays)
    with pytest.raises(ValueError, match=told):
        made.record("val", step=1, score=0.1)
    assert list(tmp_path.iterdir()) == []


def torn(path):
    path.write_bytes(path.read_bytes()[:-40])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("item: 1, 2, 3")


def one_array(path):
    with path.open("wb") as file:
        np.save(file, np.arange(3))


def pickled(path):
    with path.open("wb") as file:
        np.savez(file, item=np.array([{}, None]))


def of_others(path):
    with path.open("wb") as file:
        np.savez(file, weights=np.arange(3))


@pytest.mark.parametrize("spoil", [torn, empty, text, one_array, pickled, of_others])
def test_a_torn_or_foreign_file_is_named(tmp_path, spoil):
    write_items(tmp_path / FILE, ARRAYS)
    assert RunFolder(tmp_path).items["points"].tolist() == [0, 1, 2]
    spoil(tmp_path / FILE)
    with pytest.raises(StudyError, match=re.escape(str(tmp_path / FILE))):
        _ = RunFolder(tmp_path).items


def test_a_full_disk_leaves_the_file_of_before(tmp_path, monkeypatch):
    write_items(tmp_path / FILE, ARRAYS)
    before = (tmp_path / FILE).read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("study.files.sync", full)
    with pytest.raises(OSError, match="No space"):
        write_items(tmp_path / FILE, ARRAYS | {"more": np.arange(9)})
    assert (tmp_path / FILE).read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_an_archive_keeps_them_if_that_is_asked_for(toy, tmp_path):
    grid, root = toy(GRID.replace("[1111]", "[none, 1111]")), tmp_path / "runs"
    with_items, without = (finished(planned(root, m, items=5)) for m in ("1111", "none"))
    write_items(with_items.path / FILE, ARRAYS)
    study("archive", grid)
    archived = {name: ArchivedRun(root / name, file) for name, file in index(root).items()}
    assert [run.items for run in archived.values()] == [None, None]
    told = "0 runs archived in results, 2 archived before, items of 1"
    assert told in study("archive", grid, "--items").stdout
    assert archived[with_items.path.name].items["points"].tolist() == [0, 1, 2]
    assert archived[without.path.name].items is None
    assert len(index(root)) == 2
    assert "2 archived before, items of 0" in study("archive", grid, "--items").stdout
    shutil.rmtree(root)
    rows = json.loads(study("status", "--json", grid).stdout)
    assert [row["state"] for row in rows] == ["completed"] * 2
