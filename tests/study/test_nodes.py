"""A bad node is known by what ended there and what trained elsewhere; else it is the code."""

import time

import pytest

from study.files import append_jsonl, write_json
from study.launch import nodes as module
from study.launch.due import due, why_not
from study.launch.jobs import Answers
from study.launch.nodes import FORGIVEN, MEMORY_SECONDS, START_SECONDS, survey
from study.runs.folder import RunFolder

AGO = 1000.0
"""Seconds since the first of the attempts."""


class Profile:
    def memory(self, failures):
        return None


@pytest.fixture
def grid(tmp_path):
    return Grid(tmp_path)


class Grid:
    """Runs whose attempts were on nodes, as records tell."""

    def __init__(self, root):
        self.root, self.now, self.jobs = root, time.time(), 0
        self.age = AGO

    def attempt(self, run, node, at, cause="killed", lasted=2.0, step=False, error="", began=True):
        """An attempt that began `at` seconds after the first and lasted so long."""
        folder = RunFolder(self.root / run)
        record = {"schema": 1, "id": run, "label": run, "hash": "0", "grid": "g", "science": {}}
        write_json(folder.path / "run.json", record)
        path = folder.path / "attempts" / str(len(folder.attempts) + 1)
        path.mkdir(parents=True)
        start, self.jobs = self.now - self.age + at, self.jobs + 1
        job = f"{self.jobs}_0"
        write_json(path / "submission.json", {"launcher": "slurm", "token": "t", "index": 0})
        ending = {"cause": cause, "code": -9, "seconds": lasted, "error": error}
        if began:
            write_json(path / "start.json", {"time": start, "job": job, "node": node, "host": "h"})
        else:
            write_json(path / "start.json", {"time": self.now, "job": None, "host": "login"})
            told = {"id": job, "node": node, "began": start, "ended": start + lasted}
            ending |= {"job": told, "seconds": 0.0}
        if step:
            line = {"split": "train", "step": 1, "time": start + lasted / 2}
            append_jsonl(folder.path / "metrics.jsonl", line)
        if cause == "completed":
            keys = ("metric", "metrics", "untrained", "loss", "cost", "seconds")
            write_json(folder.path / "result.json", {"schema": 1, **dict.fromkeys(keys)})
        write_json(path / "exit.json", ending)

    def hole(self, node="gpu1", count=4, at=0.0, **more):
        for n in range(count):
            self.attempt(f"hole{n}", node, at + n, **more)

    def well(self, node, count=2, at=0.0, **more):
        for n in range(count):
            self.attempt(f"{node}-{n}", node, at + 30 * n, "completed", 30.0, **more)

    @property
    def survey(self):
        folders = {path.name: RunFolder(path) for path in self.root.iterdir()}
        return survey(folders, {n: f.condition() for n, f in folders.items()}, Answers())

    @property
    def bad(self):
        return [str(node) for node in self.survey.bad]


@pytest.mark.parametrize("began", [True, False])
@pytest.mark.parametrize("cause", ["killed", "failed", "oom", "lost"])
def test_a_node_is_bad_where_all_end_at_once_and_others_train(grid, began, cause):
    grid.hole(cause=cause, began=began)
    grid.well("gpu2")
    assert grid.bad == [
        "gpu1: 4 of 4 attempts ended there within 2 s, before a first step; 2 elsewhere went well"
    ]
    assert grid.survey.forgiven == {f"hole{n}": [1] for n in range(4)}
    run = RunFolder(grid.root / "hole0")
    assert due(run, cause, Answers(), Profile(), [1])
    assert not why_not(run, cause, Answers(), [1])
    assert due(run, cause, Answers(), Profile()) is (cause in ("killed", "lost"))


def test_few_failures_or_those_of_one_run_or_after_a_step_are_no_evidence(grid):
    grid.well("gpu2")
    grid.hole(count=2)
    assert not grid.bad
    for n in range(3):
        grid.attempt("same", "gpu3", n)
        grid.attempt(f"step{n}", "gpu4", n, step=True)
        grid.attempt(f"long{n}", "gpu5", n, lasted=START_SECONDS + 1)
        grid.attempt(f"told{n}", "gpu6", n, "preempted")
        grid.attempt(f"late{n}", "gpu7", n, "timeout")
    assert not grid.bad
    assert not grid.survey.forgiven


def test_what_fails_everywhere_is_the_code(grid):
    for node in ("gpu1", "gpu2", "gpu3"):
        for n in range(3):
            grid.attempt(f"{node}-{n}", node, n)
    assert not grid.bad
    grid.well("gpu4")
    assert not grid.bad  # three bad nodes and a good one
    grid.well("gpu5")
    grid.well("gpu6")
    assert len(grid.bad) == 3


def test_an_error_that_a_good_node_has_seen_too_is_the_code(grid):
    grid.hole(cause="failed", error="RuntimeError: no such layer 3 in /data/a.py")
    grid.well("gpu2")
    assert len(grid.bad) == 1
    grid.attempt("elsewhere", "gpu2", 70, "failed", error="RuntimeError: no such layer 7 in /b.py")
    assert not grid.bad
    assert not grid.survey.forgiven


def test_code_that_was_mended_later_makes_no_node_bad(grid):
    """All failed, on the day before; today all is well."""
    for node in ("gpu1", "gpu2"):
        for n in range(3):
            grid.attempt(f"{node}-old{n}", node, n)
    grid.well("gpu1", at=500)
    grid.well("gpu2", at=500)
    assert not grid.bad
    assert not grid.survey.forgiven


def test_a_node_on_which_something_trains_again_is_good_and_what_it_cost_stays_forgiven(grid):
    grid.hole()
    grid.well("gpu2")
    assert len(grid.bad) == 1
    grid.well("gpu1", at=200)
    assert not grid.bad
    assert len(grid.survey.forgiven) == 4


def test_a_bad_node_is_tried_again_after_a_day(grid):
    grid.age = MEMORY_SECONDS + AGO
    grid.hole()
    grid.well("gpu2")
    assert not grid.bad
    assert len(grid.survey.forgiven) == 4


def test_what_a_run_is_forgiven_has_an_end(grid):
    grid.well("gpu2", count=2 * FORGIVEN)
    for n in range(FORGIVEN + 3):
        grid.attempt("a", "gpu1", n)
        grid.attempt("b", "gpu1", n)
    assert len(grid.survey.forgiven["a"]) == FORGIVEN
    run = RunFolder(grid.root / "a")
    assert not due(run, "killed", Answers(), Profile(), grid.survey.forgiven["a"])


def test_jobs_of_several_nodes_say_nothing(grid):
    grid.well("gpu2")
    grid.hole("gpu[1-2]")
    grid.hole("gpu7,gpu9")
    assert not grid.bad


def test_where_nothing_failed_no_other_attempt_is_read(grid, monkeypatch):
    grid.well("gpu1")
    grid.well("gpu2")
    monkeypatch.setattr(module, "_executions", None)
    assert not grid.bad
