"""What goes wrong on a node, or at the controller, costs a grid neither cells nor attempts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from toy import runs, states, study, submit

from study.files import write_json
from study.launch.slurm.queue import LOST_SECONDS

CELLS = 16
GRID = f"""
task: toy
recipe: {{epochs: 2, seconds: 0.2}}
product: {{mechanism: ["1111", "0010"]}}
seeds: {[*range(CELLS // 2)]}
"""
SMALL = GRID.replace(str([*range(CELLS // 2)]), "[0, 1, 2]")
STUCK = """
task: toy
recipe: {epochs: 2, seconds: 60}
product: {mechanism: ["1111"]}
"""
ON_GPU1 = """'[ "$SLURMD_NODENAME" != gpu1 ] || %s'"""
HOW = {"no module": "exit 1", "lost mount": "kill -9 $$"}  # with a record, and without


def profile(tmp_path, text):
    path = tmp_path / "config" / "study" / "clusters.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"slurm: {{{text}}}\n")


def wait_for_all(slurm):
    slurm.wait_until(lambda: not slurm.run("squeue", "-h"), 180)


def on(node):
    """The attempts that ended there."""
    return [a for folder in runs() for a in folder.attempts if a.node == node]


@pytest.fixture(params=[*HOW, "read only"])
def black_hole(request, slurm, tmp_path):
    """One node ends every job at once."""
    if request.param in HOW:
        profile(tmp_path, f"setup: [{ON_GPU1 % HOW[request.param]}]")
        yield slurm
        return
    root = Path(os.environ["STUDY_RUNS"])
    root.mkdir()
    slurm.make_read_only("gpu1", root)
    yield slurm
    slurm.make_writable("gpu1", root)


def test_a_node_that_ends_all_at_once_is_left_out_and_costs_no_cell_an_attempt(black_hole, toy):
    grid = toy(GRID)
    submit(grid)
    wait_for_all(black_hole)
    burnt = len(on("gpu1"))
    assert {*states()} <= {"completed", "failed", "killed"}
    assert states().count("completed") < CELLS - 2
    told = study("status", grid).stdout
    assert "node gpu1: " in told
    assert "attempts ended there within" in told
    (group,) = json.loads(study("triage", grid, "--json").stdout)
    assert group["nodes"] == {"gpu1": group["count"]}
    assert "gpu1" in study("triage", grid).stdout
    assert "#SBATCH --exclude=gpu2,gpu1" in submit(grid, "--dry-run", "-o", "exclude=gpu2")
    assert "--exclude" not in submit(grid, "--dry-run", "-o", "avoid=false")
    assert "leaves out gpu1: " in submit(grid)
    wait_for_all(black_hole)
    assert states() == ["completed"] * CELLS
    assert len(on("gpu1")) >= burnt
    assert max(len(folder.attempts) for folder in runs()) == 2


def test_what_fails_on_every_node_is_the_code_and_counts(slurm, toy, tmp_path):
    profile(tmp_path, "setup: ['kill -9 $$']")
    grid = toy(SMALL.replace("[0, 1, 2]", "[0, 1, 2, 3, 4]"))
    for _ in range(3):
        assert "leaves out" not in submit(grid)
        wait_for_all(slurm)
        assert "node " not in study("status", grid).stdout.replace("nodes", "")
    told = submit(grid, code=1)
    assert "nothing more is submitted for 10 of 10 runs: 10 killed" in told
    assert {len(folder.attempts) for folder in runs()} == {3}
    assert submit(grid, "--until-done", code=1) == told


@pytest.mark.parametrize("begun", [False, True])
def test_an_array_that_an_operator_cancels_stays_cancelled(
    slurm, toy, tmp_path, monkeypatch, begun
):
    grid = toy(SMALL.replace("0.2", "60"))
    options = ["--max-parallel", "1"] if begun else ["-o", "sbatch.begin=now+1hour"]
    submit(grid, *options)
    (batch,) = Path(os.environ["STUDY_RUNS"]).glob(".slurm/study-*")
    job = json.loads((batch / "job.json").read_text())["job"]
    if begun:
        slurm.wait_until(lambda: states().count("running") == 1)
    slurm.run("scancel", f"{job}_4")  # alone, of which Slurm keeps no trace
    slurm.run("scancel", job)
    wait_for_all(slurm)
    forgetful = tmp_path / "bin"
    forgetful.mkdir()
    (forgetful / "squeue").write_text("#!/bin/sh\n")
    (forgetful / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{forgetful}:{os.environ['PATH']}")
    for folder in runs():
        attempt = folder.newest
        aged = attempt.submission["time"] - LOST_SECONDS - 1
        write_json(attempt.path / "submission.json", attempt.submission | {"time": aged})
    slurm.wait_until(lambda: states() == ["killed"] * 6)  # the accounting is behind by seconds
    assert "nothing to submit: 6 killed" in submit(grid, code=1)
    assert [len(folder.attempts) for folder in runs()] == [1] * 6
    final = {row["final"] for row in json.loads(study("status", grid, "--json").stdout)}
    assert final == {"cancelled, as Slurm says"}


def stop_as_at_the_time_limit(slurm, n):
    """Send what Slurm sends before the end to attempt `n`, once it trains; return its job."""
    (folder,) = runs()
    metrics = folder.path / "metrics.jsonl"
    slurm.wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") == n)
    begun = folder.newest.start
    os.kill(begun["pid"], signal.SIGUSR2)
    slurm.wait_until(lambda: folder.attempts[n - 1].exit)
    return begun["job"]


@pytest.mark.parametrize("requeue", ["true", "false"])
def test_what_never_reaches_a_checkpoint_is_not_tried_for_ever(slurm, toy, requeue):
    """Neither by Slurm, which has the job back in the queue, nor by `study submit`."""
    grid = toy(STUCK)
    for n in (1, 2, 3):
        if n == 1 or requeue == "false":
            submit(grid, "-o", f"requeue={requeue}")
        job = stop_as_at_the_time_limit(slurm, n)
        if n < 3 and requeue == "true":
            slurm.start_again(job)
        else:
            wait_for_all(slurm)
    assert states() == ["timeout"]
    assert len(runs()[0].attempts) == 3
    assert "nothing to submit" in submit(grid, code=1)
    reason = "attempts were told to stop (timeout) before they had left a checkpoint"
    assert f"3 {reason}" in study("status", grid).stdout
    (group,) = json.loads(study("triage", grid, "--json").stdout)
    assert reason in group["error"]
    assert "left no record" not in group["error"]


def test_what_is_cancelled_while_it_waits_to_go_on_stays_cancelled(slurm, toy):
    grid = toy(STUCK)
    submit(grid)
    job = stop_as_at_the_time_limit(slurm, 1)
    slurm.wait_until(lambda: states() == ["queued"])
    slurm.run("scancel", job)
    slurm.wait_until(lambda: states() == ["killed"], 30)
    assert "nothing to submit: 1 killed" in submit(grid, code=1)


def test_what_a_controller_loses_with_its_state_is_submitted_again(slurm, toy):
    grid = toy(SMALL.replace("0.2", "3"))
    submit(grid, "--max-parallel", "2")
    slurm.wait_until(lambda: states().count("running") == 2)
    (batch,) = Path(os.environ["STUDY_RUNS"]).glob(".slurm/study-*")
    job = json.loads((batch / "job.json").read_text())["job"]
    known = ["sacct", "-nPX", "--allusers", f"--jobs={job}", f"--name={batch.name}", "-ostate"]
    # What the controller has not yet told the accounting is lost too.
    slurm.wait_until(lambda: sorted(slurm.run(*known).split()) == ["PENDING", *["RUNNING"] * 2])
    slurm.lose_state()
    slurm.wait_until(lambda: not {"queued", "running"} & {*states()}, 60)
    assert "killed" not in states()
    assert states().count("lost") >= 3
    assert "job " in submit(grid)
    lost = [folder.attempts[0].exit for folder in runs() if not folder.attempts[0].start["job"]]
    assert len(lost) >= 3
    for ending in lost:
        assert (ending["cause"], ending["scheduler"]) == ("lost", "CANCELLED by nobody")
        assert "by nobody: its controller lost it" in ending["error"]
    wait_for_all(slurm)
    assert states() == ["completed"] * 6
