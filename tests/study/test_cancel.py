"""`study cancel` on this machine: processes are told to end, each that may be told."""

import os
import signal
import subprocess
import sys

import pytest

from study.launch.jobs import Jobs
from study.launch.local.launcher import LocalLauncher
from study.runs.attempt import cancelled_by

from .made import planned


@pytest.fixture
def attempts(toy, tmp_path):
    """Three that living processes execute."""
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    processes, made = [subprocess.Popen(command) for _ in range(3)], []
    for seed, process in enumerate(processes):
        folder = planned(tmp_path / "runs", seed=seed)
        folder.claim().submit("local", process.pid)
        made.append(folder.newest)
    yield made
    for process in processes:
        process.kill()
        process.wait()


def test_a_process_of_somebody_else_is_named_and_the_others_are_told(attempts, monkeypatch):
    first, theirs, last = attempts
    kill, told = os.kill, []

    def as_one_user(pid, number):
        if pid == theirs.submission["pid"]:
            raise PermissionError(1, "Operation not permitted")
        told.append((pid, number))
        kill(pid, number)

    lines = []
    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", as_one_user)
        ending = LocalLauncher().cancel(attempts, Jobs())
        try:
            while True:
                lines.append(next(ending))
        except StopIteration as ended:
            failed = ended.value
    pid = theirs.submission["pid"]
    owner = subprocess.run(
        ["ps", "-o", "user:32=", "-p", str(pid)], capture_output=True, text=True, check=True
    )
    assert lines == [
        f"{theirs.path.parents[1].name}: process {pid} belongs to {owner.stdout.strip()}",
        "2 runs are told to end",
    ]
    assert failed  # `study cancel` exits with 1
    mine = [attempt.submission["pid"] for attempt in (first, last)]
    assert [pid for pid, number in told if number == signal.SIGTERM] == mine
    assert cancelled_by(theirs) is None
    assert None not in (cancelled_by(first), cancelled_by(last))
