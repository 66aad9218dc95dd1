"""Workers forked from a process that has imported the framework: none touches the next."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from study.grid.reading import load
from study.launch.local.slots import Slots
from study.runs.folder import iter_runs
from study.runs.run import open_folder
from study.worker import warm
from study.worker.warm import AnswerLost, Nursery, NurseryDied

from .conftest import study

TRAIN = """
    import json, os, random, signal, time

    class Settings:  # as a framework keeps them
        value = "default"

    held = []

    class Cost:
        def to_json(self):
            return {"model": {}, "mechanism": {}, "input_shape": [], "uncounted": {}}

    def cost(job):
        return Cost()

    def train(job):
        terms = str(job.mechanism)
        seen = [Settings.value, held, os.getcwd(), os.environ.get("LEFT"), os.umask(0o22),
                sorted(os.listdir("/proc/self/fd")), os.read(0, 1).decode(),
                os.getpgid(0) == os.getpid(), os.getppid()]
        (job.folder / "seen").write_text(json.dumps(seen))
        print("on stdout", terms, flush=True)
        time.sleep(job.recipe.seconds)
        if terms == "0001":
            os.kill(os.getpid(), signal.SIGSEGV)
        if terms == "0010":
            os._exit(3)
        if terms == "0100":
            Settings.value = "changed"
            held.append("x" * 50_000_000)
            os.environ["LEFT"] = "behind"
            os.chdir("/")
            os.umask(0)
            random.seed(0)
            os.close(0)
        job.record("train", step=1, epoch=1, loss=1.0)
        job.record("val", step=1, epoch=1, score=1.0)
"""
TASK = """

    class Unruly(Toy):
        imports = ("toytask.train",)

        def cost(self, job, outputs=None):
            from toytask.train import cost
            return cost(job)

        def train(self, job):
            from toytask.train import train
            train(job)

    Toy = Unruly
"""
SMALL = """
task: detection
recipe: {data: trees, epochs: 1, image_scale: [64, 64], rois: 8, proposals: 20, batch_size: 16}
product: {mechanism: [0110+deformable]}
"""


@pytest.fixture
def unruly(toy, tmp_path):
    """Install a task whose runs do harm, each in a way of its own."""
    package = tmp_path / "site" / "toytask"
    with (package / "task.py").open("a") as file:
        file.write(textwrap.dedent(TASK))
    module = package / "train.py"

    def write(words, seconds=0.0, preface=""):
        module.write_text(textwrap.dedent(preface) + textwrap.dedent(TRAIN))
        return toy(f"task: toy\nproduct: {{mechanism: {words}}}\nrecipe: {{seconds: {seconds}}}\n")

    return write


def by_terms(tmp_path):
    return {folder.run["science"]["mechanism"]: folder for folder in iter_runs(tmp_path / "runs")}


def test_a_crash_an_exit_and_a_leak_leave_the_next_run_untouched(unruly, tmp_path):
    done = study("run", unruly("[1000, 0001, 0010, 0100, 1001]"))
    assert done.returncode == 1
    found = by_terms(tmp_path)
    states = {terms: folder.state() for terms, folder in found.items()}
    assert states.pop("0001") == "killed"
    assert states.pop("0010") == "failed"
    assert set(states.values()) == {"completed"}
    assert "left no record" in found["0010"].attempts[-1].exit["error"]
    assert (found["0100"].path / "attempts/1/stdout").read_text() == "on stdout 0100\n"
    seen = [json.loads((folder.path / "seen").read_text()) for folder in found.values()]
    assert all(each == seen[0] for each in seen)  # the parent among it: all were forked
    assert seen[0][:2] == ["default", []]
    assert seen[0][-2]
    assert all(a.submission["warm"] for folder in found.values() for a in folder.attempts)
    # The crash is tried again, behind all others, and then no more; the exit code is final.
    crashes = found["0001"].attempts
    assert [attempt.exit["code"] for attempt in crashes] == [-signal.SIGSEGV] * 3
    others = [f.attempts[0].submission["time"] for t, f in found.items() if t != "0001"]
    assert crashes[0].submission["time"] < max(others) < crashes[1].submission["time"]
    assert len(found["0010"].attempts) == 1


def test_workers_survive_their_nursery_and_the_next_get_a_new_one(unruly, tmp_path):
    process = _start(unruly("[1000, 1001]", seconds=1.5))
    first = _wait_for(lambda: _seen(tmp_path, "1000"))
    os.kill(first[-1], signal.SIGKILL)
    assert process.wait(timeout=30) == 0
    assert all(len(folder.attempts) == 1 for folder in by_terms(tmp_path).values())


def test_a_worker_killed_with_its_nursery_is_tried_again(unruly, tmp_path):
    process = _start(unruly("[1000]", seconds=1.5))
    first = _wait_for(lambda: _seen(tmp_path, "1000"))
    folder = by_terms(tmp_path)["1000"]
    for pid in (first[-1], folder.attempts[0].submission["pid"]):
        os.kill(pid, signal.SIGKILL)
    assert process.wait(timeout=30) == 0
    assert [attempt.exit["cause"] for attempt in folder.attempts] == ["killed", "completed"]


def test_a_worker_outlives_its_launcher_and_the_nursery_does_not(unruly, tmp_path):
    process = _start(unruly("[1000, 1001]", seconds=1.5))
    first = _wait_for(lambda: _seen(tmp_path, "1000"))
    process.kill()
    process.wait()
    folder = by_terms(tmp_path)["1000"]
    assert folder.state() == "running"
    _wait_for(lambda: folder.state() == "completed")
    _wait_for(lambda: not psutil.pid_exists(first[-1]))
    assert by_terms(tmp_path)["1001"].state() == "planned"


def test_a_nursery_that_does_not_answer_is_ended(toy, tmp_path, monkeypatch):
    monkeypatch.setattr(warm, "ANSWER_SECONDS", 0.5)
    nursery = Nursery("toy", os.environ)
    _wait_for(nursery.imported)
    os.kill(nursery.pid, signal.SIGSTOP)
    with pytest.raises(AnswerLost):
        nursery.fork([], tmp_path, {})
    assert not psutil.pid_exists(nursery.pid)
    with pytest.raises(NurseryDied, match="has ended"):
        nursery.fork([], tmp_path, {})


@pytest.mark.parametrize(
    ("preface", "state", "obstacle"),
    [
        (
            "import threading\nthreading.Timer(9, print).start()\n",
            "completed",
            "started 1 threads",
        ),
        ("raise RuntimeError('on import')\n", "failed", "RuntimeError: on import"),
        (
            "import os\nif 'nursery' in ''.join(__import__('sys').argv): os._exit(5)\n",
            "completed",
            "ended with 5",
        ),
    ],
)
def test_where_no_worker_can_be_forked_it_starts_from_scratch(
    unruly, tmp_path, preface, state, obstacle
):
    study("run", unruly("[1000]", preface=preface))
    folder = by_terms(tmp_path)["1000"]
    assert folder.state() == state
    assert folder.attempts[0].submission["warm"] is False
    if state == "failed":
        assert folder.attempts[0].exit["error"] == obstacle
    nursery = Nursery("toy", os.environ)
    _wait_for(nursery.imported)
    assert obstacle in nursery.obstacle
    nursery.close()


def test_importing_a_framework_starts_no_thread():
    tasks = ("classification", "detection", "segmentation", "translation")
    nurseries = [Nursery(task, Slots(1, []).environment) for task in tasks]
    try:
        for nursery in nurseries:
            _wait_for(nursery.imported, 60)
            assert nursery.obstacle is None
            assert len(list(Path(f"/proc/{nursery.pid}/task").iterdir())) == 1
    finally:
        for nursery in nurseries:
            nursery.close()


@pytest.mark.data
@pytest.mark.train
def test_a_warm_worker_gets_what_a_cold_one_gets_to_the_last_digit(tmp_path):
    (grid := tmp_path / "grid.yaml").write_text(SMALL)
    run = load(grid).runs()[0]
    launcher = Slots(2, [])
    forked, cold = (open_folder(run, tmp_path / name) for name in ("forked", "cold"))
    attempt = cold.claim()
    command = [sys.executable, "-m", "study.worker", str(cold.path), str(attempt.n)]
    held = np.ones(2 << 30, dtype=np.uint8)  # of this process, and nothing of the worker's
    process = subprocess.Popen(
        command, env=launcher.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    del held
    assert launcher.run([forked], lambda: None)
    assert process.wait(60) == 0
    assert forked.attempts[0].submission["warm"]
    assert _curve(forked) == _curve(cold)
    assert len(_curve(forked)) > 3
    for key in ("metrics", "untrained", "loss", "cost"):
        assert forked.result[key] == cold.result[key]
    # What a fork has not touched of its libraries does not count as its memory.
    peaks = [folder.result["peak_memory_bytes"] for folder in (forked, cold)]
    assert 0.6 < peaks[0] / peaks[1] < 1.05


def _curve(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in folder.metrics]


def _start(grid):
    return subprocess.Popen(
        [sys.executable, "-m", "study", "run", str(grid)], stdout=subprocess.DEVNULL
    )


def _seen(tmp_path, terms):
    folder = by_terms(tmp_path).get(terms)
    path = folder.path / "seen" if folder else None
    text = path.read_text() if path and path.exists() else ""
    return json.loads(text) if text.endswith("]") else None


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")
