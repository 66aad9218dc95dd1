"""Three hundred runs on a cluster where things break at random: all end, each once."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

from configuration import NODES
from toy import study

from study.runs.folder import iter_runs
from study.status.states import states_of

RUNS = 300
FAULTS = 60
GRID = f"""
task: toy
recipe: {{epochs: 2, seconds: 0.5}}
product: {{mechanism: ["1111", "0010"]}}
seeds: {[*range(RUNS // 2)]}
"""
SECONDS = 600
"""In which the grid must be done; about a third of it on two idle cores."""


class Chaos:
    """Breaks something that is running."""

    def __init__(self, cluster, random_):
        self.cluster, self.random = cluster, random_
        self.done = Counter()

    def strike(self):
        running = self.cluster.run("squeue", "-h", "-t", "running", "-r", "-o", "%F_%K|%A").split()
        if not running:
            return
        job = self.random.choice(running).split("|")[0]
        fault = self.random.choices(
            [self.kill_step, self.kill_worker, self.requeue, self.lose_node], [4, 4, 4, 1]
        )[0]
        try:
            fault(job)
        except (RuntimeError, OSError, KeyError, IndexError):
            return  # it has ended meanwhile
        self.done[fault.__name__] += 1

    def kill_step(self, job):
        self.cluster.kill_step(job)

    def kill_worker(self, job):
        ours = ["pgrep", "-f", f"study.worker {os.environ['STUDY_RUNS']}"]
        found = subprocess.run(ours, capture_output=True, text=True)
        os.kill(int(self.random.choice(found.stdout.split())), 9)

    def requeue(self, job):
        self.cluster.run("scontrol", "requeue", job)

    def lose_node(self, job):
        node = self.random.choice(NODES)
        self.cluster.fail_node(node)
        time.sleep(1)
        self.cluster.resume_node(node)

    def hurry(self):
        """Let what was put back begin now, which Slurm delays by two minutes."""
        for line in self.cluster.run("squeue", "-h", "-r", "-o", "%A|%r").splitlines():
            job, _, reason = line.partition("|")
            if reason == "BeginTime":
                self.cluster.start_now(job, check=False)  # unless it has begun


def test_three_hundred_runs_under_random_faults_end_once_each(cluster, toy, monkeypatch, tmp_path):
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    grid, chaos = toy(GRID), Chaos(cluster, random.Random(0))
    root, begin = Path(os.environ["STUDY_RUNS"]), time.monotonic()
    submissions, done = 0, 0
    while done < RUNS:
        assert time.monotonic() - begin < SECONDS, states_of([*iter_runs(root)]).count()
        submitted = study("submit", grid)
        # 1: some were killed thrice, see below.
        assert submitted.returncode in (0, 1), submitted.stdout + submitted.stderr
        submissions += 1
        for _ in range(10):
            if chaos.done.total() < FAULTS:
                chaos.strike()
            chaos.hurry()
            time.sleep(0.5)
        states = states_of([*iter_runs(root)]).count()
        done = states.get("completed", 0)
        if set(states) == {"completed", "killed"}:  # thrice is no accident, says the launcher
            study("retry", grid, "--state", "killed", "--yes")
    taken = time.monotonic() - begin
    attempts = [folder.attempts for folder in iter_runs(root)]
    print(f"{RUNS} runs in {taken:.0f} s, {submissions} submissions, faults {dict(chaos.done)}")
    print("attempts a run:", dict(Counter(map(len, attempts))))
    print("ends:", dict(Counter(a.ending["cause"] for each in attempts for a in each)))
    assert chaos.done.total() >= FAULTS / 2
    assert len(attempts) == RUNS
    for each in attempts:
        assert "completed" not in [a.ending["cause"] for a in each[:-1]]
        for one, following in itertools.pairwise(each):
            # Those that were killed outright left no time of their own.
            if one.exit["code"] >= 0:
                assert one.start["time"] + one.exit["seconds"] <= following.start["time"] + 1
    for folder in iter_runs(root):
        # By the last attempt, also where it was killed between the result and its own record.
        assert folder.result["attempts"] == len(folder.attempts)
        assert [line["step"] for line in folder.metrics if line["split"] == "val"] == [1, 2]
