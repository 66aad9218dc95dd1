"""Runs that a cluster has left are trained on this machine, and what became of them is said."""

import pytest

from .conftest import study
from .made import ended, line, planned, scheduler, submitted

GRID = "task: toy\nproduct: {mechanism: [1111]}\n"
FAILING = GRID + "recipe: {failing: '1111'}\n"


@pytest.mark.parametrize("verb", [["run"], ["retry", "--cluster", "local"]])
def test_a_run_whose_node_failed_is_settled_and_trained(toy, tmp_path, monkeypatch, verb):
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    grid, folder = toy(GRID), planned(tmp_path / "runs")
    submitted(folder, job="7_0")
    scheduler(tmp_path, monkeypatch, line(0, "NODE_FAIL", node="gpu1"))
    done = study(*verb, grid)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 completed" in done.stdout
    lost, trained = folder.attempts
    assert (lost.exit["cause"], lost.exit["scheduler"]) == ("killed", "NODE_FAIL")
    assert "Slurm says NODE_FAIL of job 7_0 on gpu1" in lost.exit["error"]
    assert trained.exit["cause"] == "completed"


def test_retry_on_this_machine_ends_as_run_does(toy, tmp_path):
    grid = toy(FAILING)
    folder = planned(tmp_path / "runs", failing="1111")
    ended(folder, "failed", "RuntimeError: as told")
    done = study("retry", grid, "--cluster", "local")
    assert done.returncode == 1
    assert "1 failed" in done.stdout
    assert f"study logs --err {folder.path.name}" in done.stdout
    assert len(folder.attempts) == 2


def test_a_run_that_its_job_has_begun_again_meanwhile_is_left_to_it_by_name(
    toy, tmp_path, monkeypatch
):
    from study.launch.answers import ask
    from study.launch.local.slots import Slots

    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    folder = planned(tmp_path / "runs")
    attempt = submitted(folder)
    scheduler(tmp_path, monkeypatch, line(0, "NODE_FAIL", node="gpu1"))
    said = ask([folder.newest])
    assert folder.condition(said.state) == "killed"
    attempt.begin("7_0")
    scheduler(tmp_path, monkeypatch, line(0, "RUNNING", node="gpu1"))
    told = []
    assert Slots(1, []).run([folder], lambda: None, told.append, ask([folder.newest]))
    (line_told,) = told
    assert line_told.startswith(f"{folder.path.name} is left alone: ")
    assert [each.exit for each in folder.attempts] == [None]
