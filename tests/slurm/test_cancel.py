"""`study cancel` of many takes few calls, and what it could not tell is in its exit code."""

from __future__ import annotations

import pytest
from toy import runs, states, study, submit

from study.launch.slurm import cancel as module
from study.launch.slurm.batch import Batch
from study.launch.slurm.cancel import cancel
from study.launch.slurm.command import Refused, Unreachable
from study.launch.slurm.queue import ArrayTask, Queue
from study.runs.folder import RunFolder

GRID = """
task: toy
recipe: {epochs: 1}
product: {mechanism: ["1111", "0010"]}
seeds: [0, 1]
"""


def queued(root, arrays, pack=1):
    """Runs in arrays of so many tasks each, and what the scheduler says of them."""
    attempts, tasks = [], {}
    for array, count in enumerate(arrays, 1):
        batch, claimed = Batch.new(root), []
        for index in range(count):
            cells = [RunFolder(root / f"run-{array}-{index}-{n}") for n in range(pack)]
            claimed.append([(cell, cell.claim()) for cell in cells])
            tasks[batch.token, index] = ArrayTask(f"{array}_{index}", "PENDING", "", "", None)
        batch.write(claimed, {}, root)
        attempts += [RunFolder(run.path).newest for cells in claimed for run, _ in cells]
    return attempts, Queue(tasks, answered=True)


def drained(generator):
    """What a generator yields, and what it returns."""
    told = []
    while True:
        try:
            told.append(next(generator))
        except StopIteration as end:
            return told, end.value


def test_each_batch_is_read_once_and_arrays_are_named_in_one_call(tmp_path, monkeypatch):
    attempts, said = queued(tmp_path, [150, 40])
    calls, read = [], []
    monkeypatch.setattr(module, "call", lambda *words: calls.append(words))
    record = Batch.record
    monkeypatch.setattr(
        Batch, "record", property(lambda batch: read.append(batch) or record.fget(batch))
    )
    del attempts[7]
    told, failed = drained(cancel(attempts, said))
    assert calls == [("scancel", "1_[0-6,8-149]", "2_[0-39]")]
    assert len(read) == 2
    assert (told, failed) == (["189 runs of jobs are told to end"], False)
    assert {attempt.path.joinpath("exit.json").exists() for attempt in attempts} == {True}


def test_a_job_that_goes_on_with_others_is_left_to_end_its_own(tmp_path, monkeypatch):
    attempts, said = queued(tmp_path, [2], pack=2)
    calls = []
    monkeypatch.setattr(module, "call", lambda *words: calls.append(words))
    told, failed = drained(cancel(attempts[:3], said))
    assert calls == [("scancel", "1_[0]")]
    assert (told, failed) == (["3 runs of jobs are told to end"], False)


def test_of_several_arrays_the_one_that_is_refused_is_named(tmp_path, monkeypatch):
    attempts, said = queued(tmp_path, [3, 2])

    def call(*words):
        if any(word.startswith("1_") for word in words):
            raise Refused("Access/permission denied")

    monkeypatch.setattr(module, "call", call)
    told, failed = drained(cancel(attempts, said))
    assert told == [
        "scancel of 3 jobs: Access/permission denied; what begins meanwhile ends by itself",
        "2 runs of jobs are told to end",
    ]
    assert failed
    assert [a.path.joinpath("exit.json").exists() for a in attempts] == [False] * 3 + [True] * 2


@pytest.mark.parametrize("error", [Unreachable("timed out"), Refused("denied")])
def test_what_could_not_be_told_is_said(tmp_path, monkeypatch, error):
    attempts, said = queued(tmp_path, [3])

    def call(*words):
        raise error

    monkeypatch.setattr(module, "call", call)
    told, failed = drained(cancel(attempts, said))
    assert told == [f"scancel of 3 jobs: {error}; what begins meanwhile ends by itself"]
    assert failed


@pytest.fixture
def slurm(fake_slurm, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    return fake_slurm


def test_the_exit_code_says_whether_all_were_told(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    scancel = (slurm.bin / "scancel").read_text()
    (slurm.bin / "scancel").write_text("#!/bin/sh\necho Access/permission denied >&2\nexit 210\n")
    assert "denied" in submit("--seed", "0", verb="cancel", code=1)
    (slurm.bin / "scancel").write_text(scancel)
    slurm.set_fault("unreachable", ["squeue", "sacct"])
    assert "does not show its job" in submit("--seed", "1", verb="cancel", code=1)
    slurm.set_fault("unreachable", None)
    submit(verb="cancel")
    assert states() == ["killed"] * 4


def test_until_done_ends_with_1_where_cells_are_left(slurm, toy):
    grid = toy(GRID)
    submit(grid)
    for index in range(4):
        slurm.run_task(slurm.jobs[0]["id"], index)
    assert "nothing to submit: 4 completed" in submit(grid, "--until-done")
    (runs()[0].path / "result.json").unlink()
    assert states() == ["completed", "completed", "completed", "failed"]
    for words in ([], ["--until-done"]):
        told = submit(grid, *words, code=1)
        assert "nothing more is submitted for 1 of 4 runs: 1 failed" in told


def test_who_waits_in_the_queue_is_no_failure(slurm, toy):
    grid = toy(GRID)
    assert study("submit", grid).returncode == 0
    assert study("submit", grid).returncode == 0
    slurm.set_fault("unreachable", ["squeue"])
    assert study("submit", grid).returncode == 3
