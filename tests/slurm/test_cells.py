"""The processes of a job take one attempt together, however often Slurm has restarted the job."""

from __future__ import annotations

import dataclasses
import json

import pytest

from study.files import write_json
from study.launch.slurm import cells
from study.launch.slurm.batch import Batch
from study.launch.slurm.cells import Position, find
from study.runs.folder import RunFolder

FIRST = Position("7_0", index=0, restart=0, rank=0, world=2, local_rank=0, nodes=1)


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """An array of one task, which waits with one run."""
    monkeypatch.setattr(cells, "FIRST_PROCESS_SECONDS", 0.5)
    monkeypatch.setattr(cells, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(cells, "ended_before", lambda job: "NODE_FAIL")
    run = RunFolder(tmp_path / "a-run")
    record = {"schema": 1, "id": "a-run", "label": "a", "hash": "0", "grid": "g", "science": {}}
    write_json(run.path / "run.json", record)
    waiting = Batch.new(tmp_path)
    waiting.write([[(run, run.claim())]], {}, tmp_path)
    return waiting


def beside(first: Position) -> Position:
    return dataclasses.replace(first, rank=1, local_rank=1)


def attempt_of(batch, position):
    ((_, attempt),) = find(batch, position)
    return attempt.n


def test_all_take_an_attempt_that_was_submitted_before_the_restart(batch):
    """As when the node went down before the job's first process had begun it."""
    again = dataclasses.replace(FIRST, restart=1)
    assert attempt_of(batch, again) == 1
    assert attempt_of(batch, beside(again)) == 1


def test_all_take_the_attempt_that_follows_at_a_restart(batch):
    assert attempt_of(batch, FIRST) == attempt_of(batch, beside(FIRST)) == 1
    again = dataclasses.replace(FIRST, restart=1)
    assert attempt_of(batch, again) == attempt_of(batch, beside(again)) == 2


def test_who_does_not_see_the_first_begin_ends_the_job(batch):
    with pytest.raises(SystemExit, match="process 1 has not seen process 0 begin attempt 1"):
        find(batch, beside(FIRST))


def test_who_sees_that_the_first_takes_nothing_ends_in_order(batch):
    (run,) = batch.cells(0)
    run.newest.write_off("killed", "cancelled")
    assert find(batch, FIRST) == find(batch, beside(FIRST)) == []
    (run.newest.path / "exit.json").unlink()
    start = run.newest.path / "start.json"
    start.write_text(json.dumps({**json.loads(start.read_text()), "job": "8_0"}))
    # Another job of this name is at work: sbatch was called again, and heard twice.
    assert find(batch, FIRST) == find(batch, beside(FIRST)) == []
