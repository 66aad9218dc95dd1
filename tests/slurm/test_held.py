"""A real cluster lends what was asked for, and gets it back as soon as the work is over."""

from __future__ import annotations

import time

import pytest
from toy import runs, states, submit

GRID = """
task: toy
recipe: {epochs: EPOCHS, seconds: 0.2}
product: {mechanism: ["1111"]}
"""
LONG, SHORT = GRID.replace("EPOCHS", "500"), GRID.replace("EPOCHS", "2")


@pytest.fixture
def slurm(cluster, toy, tmp_path, monkeypatch):
    """The cluster, empty, with no profile and records that arrive at once."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    yield cluster
    cluster.clear()


def job_of(slurm):
    """Wait until the only run has trained a step; its job."""
    slurm.wait_until(lambda: runs() and len(runs()[0].metrics) > 1)
    return runs()[0].newest.start["job"]


def held(slurm, job):
    """The seconds for which a job that has ended held its nodes."""
    slurm.wait_until(lambda: slurm.job(job)["JobState"] not in ("RUNNING", "COMPLETING"), 60)
    hours, minutes, seconds = map(int, slurm.job(job)["RunTime"].split(":"))
    return 3600 * hours + 60 * minutes + seconds


def test_a_signal_that_somebody_sends_alone_ends_the_job_and_not_its_node_time(slurm, toy):
    submit(toy(LONG))
    job, sent = job_of(slurm), time.monotonic()
    slurm.run("scancel", "--signal=TERM", job)
    held(slurm, job)
    assert time.monotonic() - sent < 30
    assert states() == ["preempted"]
    assert (runs()[0].path / "checkpoints/count").exists()


def test_a_process_that_hangs_behind_a_finished_run_is_ended(slurm, toy, tmp_path):
    with (tmp_path / "site/toytask/train.py").open("a") as code:
        code.write(
            "first = train\ndef train(job):\n    time.sleep(900) if job.rank else first(job)\n"
        )
    submit(toy(SHORT), "-o", "tasks=2")
    assert held(slurm, job_of(slurm)) < 60
    assert states() == ["completed"]
    assert slurm.job(runs()[0].newest.start["job"])["JobState"] == "COMPLETED"


@pytest.mark.parametrize(("kind", "nodes"), [("a", ("gpu1", "gpu2")), ("b", ("gpu3", "gpu4"))])
def test_gpus_of_the_type_that_was_asked_for_are_lent(slurm, toy, kind, nodes):
    submit(toy(LONG), "-o", f"gpus={kind}:2", "-o", "tasks=1")
    (folder,) = runs()
    slurm.wait_until(lambda: folder.newest.start)
    job = slurm.job(folder.newest.start["job"])
    assert job["NodeList"] in nodes
    assert job["TresPerNode"] == f"gres:gpu:{kind}:2"


def test_a_run_that_asked_for_no_gpu_stays_on_the_cpu_of_a_node_that_has_some(slurm, toy):
    submit(toy(SHORT), "-o", "sbatch.nodelist=gpu3")
    slurm.wait_until(lambda: states() == ["completed"])
    assert runs()[0].provenance["device"] == "cpu"
