"""A launcher from another distribution: found by name, asked about its own attempts, and missed."""

import json
import textwrap

import pytest

from .conftest import study
from .made import planned, submitted

PBS = """
    from study.launch.due import claim
    from study.launch.jobs import Job, Jobs
    from study.launch.protocol import Launcher, Outcome

    class Waiting(Job):
        alive = True

    class Answer(Jobs):
        def job(self, attempt):
            return Waiting("9.host", "Q", "Sleepy", "", None)

        def state(self, attempt):
            return "queued" if attempt.exit is None else None

    class Profile:
        nodes, processes, gpu_hours, node_hours = 1, 1, 0.0, 2.0

        def memory(self, failures):
            return None

    class PbsLauncher(Launcher):
        title = "OpenPBS"
        words = {"KILLED_BY_MOM": "oom host"}

        def clusters(self):
            return ["pbs"]

        def profile(self, cluster, options=()):
            return Profile()

        def submit(self, folders, order, said):
            claimed = [(run, claim(run, said)) for run in folders]
            for _, attempt in claimed:
                attempt.queue("pbs", "a-token", 0)
            return Outcome(jobs={"9.host": [run for run, _ in claimed]})

        def states(self, attempts):
            return Answer()

        def cancel(self, attempts, said):
            for attempt in attempts:
                attempt.write_off("killed", "qdel", scheduler="KILLED_BY_MOM")
            yield f"qdel of {len(attempts)}"

        def logs(self, attempt, err):
            return None

        def checks(self):
            return []
"""
GRID = "task: toy\nproduct: {mechanism: [1111]}\n"


@pytest.fixture
def pbs(toy, tmp_path, monkeypatch):
    """Install it; the function that is returned takes it away again."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    site, info = tmp_path / "site", tmp_path / "site" / "toypbs-1.0.dist-info"
    (site / "toypbs.py").write_text(textwrap.dedent(PBS))
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toypbs\nVersion: 1.0\n")
    points = info / "entry_points.txt"
    points.write_text("[study.launchers]\npbs = toypbs:PbsLauncher\n")
    return points.unlink


def test_it_queues_runs_and_is_asked_about_them(pbs, toy):
    grid = toy(GRID)
    assert "job 9.host: 1 runs" in study("submit", grid, "--cluster", "pbs").stdout
    shown = study("status", grid)
    assert (shown.returncode, shown.stderr) == (3, "")
    assert "1 queued (Sleepy 1)" in shown.stdout
    (row,) = json.loads(study("status", grid, "--json").stdout)
    assert (row["launcher"], row["job"], row["reason"]) == ("pbs", "9.host", "Sleepy")
    assert "the run is queued, OpenPBS says Sleepy" in study("logs", row["id"]).stderr
    assert "pbs job 9.host" in study("inspect", row["id"]).stdout
    assert "nothing to submit" in study("submit", grid, "--cluster", "pbs").stdout
    other = toy(GRID.replace("1111", "0010"), "other.yaml")
    planned_there = study("plan", other, "--cluster", "pbs", "--no-cost").stdout
    assert "2.0 node-hours, without GPUs: 1 runs, one job each" in planned_there
    assert "--cluster must name one of the launchers: pbs, slurm" in study("submit", other).stderr
    assert "qdel of 1" in study("cancel", grid).stdout
    (row,) = json.loads(study("status", grid, "--json").stdout)
    assert (row["state"], row["cause"]) == ("killed", "oom host")
    assert "OpenPBS says KILLED_BY_MOM" in study("inspect", row["id"]).stdout


def test_runs_of_full_scale_without_a_gpu_are_a_warning_and_are_queued(pbs, toy, tmp_path):
    weights = tmp_path / "net.pth"
    weights.touch()
    grid = toy(GRID + f"recipe: {{pretrained: '{weights}'}}\n")
    told = study("submit", grid, "--cluster", "pbs").stdout
    assert "warning: --cluster pbs asks for no GPU, so that grid would train on CPUs" in told
    assert "job 9.host: 1 runs" in told
    study("cancel", grid)
    assert "warning: --cluster pbs asks for no" in study("retry", grid, "--cluster", "pbs").stdout
    assert "warning" not in study("submit", toy(GRID), "--cluster", "pbs").stdout


def test_the_attempts_of_one_that_is_missing_keep_their_recorded_state(pbs, toy):
    grid = toy(GRID)
    study("submit", grid, "--cluster", "pbs")
    pbs()
    shown = study("status", grid)
    assert (shown.returncode, "1 queued" in shown.stdout) == (3, True)
    assert "1 runs: the launcher 'pbs' is not installed here; valid: local, slurm" in shown.stderr
    (row,) = json.loads(study("status", grid, "--json").stdout)
    assert (row["state"], row["launcher"], row["job"]) == ("queued", "pbs", None)
    assert "pbs job not known yet" in study("inspect", row["id"]).stdout
    assert "the run is queued; -f waits" in study("logs", row["id"]).stderr
    assert "they are left alone" in study("cancel", grid).stdout
    assert json.loads(study("status", grid, "--json").stdout) == [row]
    gone = study("submit", grid, "--cluster", "pbs")
    assert (gone.returncode, "with a profile 'pbs'" in gone.stderr) == (2, True)


def test_what_a_missing_launcher_has_finished_is_no_trouble(toy, tmp_path):
    attempt = submitted(planned(tmp_path / "runs"))
    record = json.loads((attempt.path / "submission.json").read_text())
    (attempt.path / "submission.json").write_text(json.dumps(record | {"launcher": "gone"}))
    attempt.end("failed", 1, 0.0, "ValueError: no")
    shown = study("status")
    assert (shown.returncode, shown.stderr) == (1, "")
    assert "ValueError: no" in shown.stdout
    (group,) = json.loads(study("triage", "--json").stdout)
    assert group["error"] == "ValueError: no"
