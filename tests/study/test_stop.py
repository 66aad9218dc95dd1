"""A worker that is told to stop ends its step first, with all that it needs for that."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from study.runs.folder import iter_runs

TRAINING = """
import sys, time
from pathlib import Path

from torch.utils.data import DataLoader

from plugins.contracts.job import Stopped
from study.worker.stop import Stop

stop = Stop(0, 1)
stop.watch()
try:
    for step, _ in enumerate(DataLoader(range(10_000), num_workers=2)):
        time.sleep(0.02)
        if stop.wanted():
            time.sleep(0.5)  # what the loaders' end would interrupt
            Path(sys.argv[1]).write_text(str(step))
            raise Stopped
        print(step, flush=True)
except Stopped:
    print(stop.cause, flush=True)
"""


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        (signal.SIGTERM, "preempted"),
        (signal.SIGINT, "preempted"),  # Ctrl-C on a terminal
        (signal.SIGUSR2, "timeout"),  # of Slurm, which may find a job's processes by their group
    ],
)
def test_a_signal_to_all_of_a_group_spares_those_that_load_data(tmp_path, number, cause):
    saved = tmp_path / "checkpoint"
    process = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(saved)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stdout:
        if line == "20\n":
            os.killpg(process.pid, number)
            break
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert printed.splitlines()[-1] == cause
    assert int(saved.read_text()) >= 20


LEFT = """
from torch.utils.data import DataLoader

from study.worker.stop import Stop

Stop(0, 1).watch()
batches = iter(DataLoader(range(10_000), num_workers=2, persistent_workers=True))
next(batches)
print("ends", flush=True)
"""


def test_loaders_that_are_left_end_with_their_parent():
    """Python ends them by SIGTERM, and then waits for them."""
    process = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, timeout=60)
    assert (process.returncode, process.stdout) == (0, b"ends\n")


STEPS = """
import sys, time

from plugins.contracts.job import Stopped
from study.worker import stop as module

module.STOP_SECONDS = 0.1
stop = module.Stop(0, 1)
stop.watch()
try:
    for step in range(1000):
        time.sleep(0.5)
        if stop.wanted():
            print("saved", flush=True)
            raise Stopped
        print(step, flush=True)
        if step == int(sys.argv[1]):
            time.sleep(60)
            print("evaluated", flush=True)
except Stopped:
    pass
"""


@pytest.mark.parametrize(("evaluates_after", "last"), [(-1, "saved"), (4, "4")])
def test_a_worker_has_time_for_its_usual_step_and_not_for_an_evaluation(evaluates_after, last):
    command = [sys.executable, "-c", STEPS, str(evaluates_after)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line == "4\n":
            process.send_signal(signal.SIGTERM)
            break
    printed, _ = process.communicate(timeout=20)
    assert ["4", *printed.split()][-1] == last


SLOW = """

    def train(job):
        from plugins.contracts.job import Stopped

        job.record("train", step=1, epoch=1, loss=1.0)
        while not job.stopping():
            time.sleep(0.05)
        time.sleep(job.recipe.seconds)
        (job.folder / "saved").touch()
        raise Stopped
"""


def start_slow(toy, tmp_path, seconds):
    with (tmp_path / "site" / "toytask" / "train.py").open("a") as file:
        file.write(textwrap.dedent(SLOW))
    grid = toy(f"task: toy\nproduct: {{mechanism: [1111]}}\nrecipe: {{seconds: {seconds}}}\n")
    command = [sys.executable, "-m", "study", "run", str(grid)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    folder = _wait_for(lambda: next((f for f in iter_runs(tmp_path / "runs") if f.metrics), None))
    process.send_signal(signal.SIGINT)
    return process, folder


def test_a_save_may_take_its_time(toy, tmp_path):
    process, folder = start_slow(toy, tmp_path, 12)
    assert "1 to end their step and leave a checkpoint" in process.communicate(timeout=60)[0]
    assert process.returncode == 130
    assert (folder.path / "saved").exists()
    assert folder.state() == "preempted"


def test_a_second_ctrl_c_kills(toy, tmp_path):
    process, folder = start_slow(toy, tmp_path, 300)
    for line in process.stdout:
        if "Ctrl-C again kills them" in line:
            process.send_signal(signal.SIGINT)
            break
    else:
        raise AssertionError("it did not say so")
    process.communicate(timeout=15)
    assert process.returncode == 130
    assert folder.state() == "killed"


HELPED = """

    def train(job):
        import subprocess
        from plugins.contracts.job import Stopped

        helper = subprocess.Popen(["sleep", "60"])
        job.record("train", step=1, epoch=1, loss=1.0)
        while not job.stopping():
            time.sleep(0.05)
        time.sleep(0.5)
        (job.folder / "helper").write_text(str(helper.poll()))
        helper.kill()
        raise Stopped
"""


def test_study_run_tells_the_worker_alone_to_end(toy, tmp_path):
    with (tmp_path / "site" / "toytask" / "train.py").open("a") as file:
        file.write(textwrap.dedent(HELPED))
    grid = toy("task: toy\nproduct: {mechanism: [1111]}\n")
    process = subprocess.Popen([sys.executable, "-m", "study", "run", str(grid)])
    folder = _wait_for(lambda: next((f for f in iter_runs(tmp_path / "runs") if f.metrics), None))
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert folder.state() == "preempted"
    assert (folder.path / "helper").read_text() == "None"  # it lived


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found
