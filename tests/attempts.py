"""Attempts at a run, each by a forked worker that a signal ends, or that ends by itself."""

from __future__ import annotations

import functools
import json
import os
import pickle
import signal
import time

import numpy as np

from plugins.contracts.tasks import find_task
from study.launch.local.slots import THREADLESS
from study.runs.folder import RunFolder
from study.worker.warm import Nursery

__all__ = [
    *("Payload", "assert_equal", "curve", "finish", "items_of_result", "kill", "steps", "stop"),
    "torn",
]

PATIENCE = 300  # seconds


def finish(path):
    """Carry out the run at `path` to its end; return what the worker wrote to stderr."""
    process, attempt = _start(path)
    code = _end(process)
    errors = (attempt.path / "stderr").read_text()
    assert code == 0, errors
    return errors


def kill(path, after_epoch):
    """Begin, and kill the worker once something of the next epoch is recorded."""
    process, attempt = _start(path)
    _wait(process, attempt, path, lambda line: line["epoch"] > after_epoch)
    os.kill(process.pid, signal.SIGKILL)
    _end(process)
    assert RunFolder(path).result is None
    (attempt.path / "exit.json").write_text(
        json.dumps({"cause": "killed", "code": -9, "seconds": 1.0, "error": ""})
    )


def stop(path, after_step, number):
    """Begin, send the signal once a later step is recorded, and return the cause of the end."""
    process, attempt = _start(path)
    _wait(process, attempt, path, lambda line: line["step"] > after_step)
    os.kill(process.pid, number)
    _end(process)
    assert RunFolder(path).result is None
    return json.loads((attempt.path / "exit.json").read_text())["cause"]


@functools.cache
def _nursery(task, python_path):
    """Import the framework once for all attempts, as ``study run`` does."""
    nursery = Nursery(task, os.environ | THREADLESS)
    deadline = time.monotonic() + PATIENCE
    while not nursery.imported():
        assert time.monotonic() < deadline, f"importing {task} does not end"
        time.sleep(0.02)
    assert nursery.obstacle is None, nursery.obstacle
    return nursery


def _start(path):
    folder = RunFolder(path)
    attempt = folder.claim()
    nursery = _nursery(folder.run["science"]["task"], os.environ.get("PYTHONPATH"))
    return nursery.fork([str(path), str(attempt.n)], attempt.path, os.environ), attempt


def _end(process):
    deadline = time.monotonic() + 2 * PATIENCE
    while (code := process.poll()) is None:
        assert time.monotonic() < deadline, "no end"
        time.sleep(0.02)
    return code


def _wait(process, attempt, path, reached):
    deadline = time.monotonic() + PATIENCE
    while not any(line["split"] == "train" and reached(line) for line in RunFolder(path).metrics):
        assert time.monotonic() < deadline, "no progress"
        assert process.poll() is None, (attempt.path / "stderr").read_text()
        time.sleep(0.02)


def assert_equal(disturbed, undisturbed):
    """Compare all that two finished runs have measured, to the last digit."""
    for key in ("metrics", "untrained", "loss", "cost"):
        assert disturbed.result[key] == undisturbed.result[key], key
    assert curve(disturbed) == curve(undisturbed)
    assert len(curve(disturbed)) > 5
    items = items_of_result(disturbed)
    assert items.keys() == undisturbed.items.keys()
    assert all(np.array_equal(items[name], undisturbed.items[name]) for name in items)


def items_of_result(folder):
    """Return what a finished run has kept; its metric follows from it, but for rounding."""
    items, result = folder.items, folder.result
    task = find_task(folder.run["science"]["task"])
    (value,) = task.value_of_items(items, np.ones((1, len(items["item"])), int))
    assert abs(value - result["metrics"][result["metric"]]) < 1e-6  # it is recorded so
    return items


def curve(folder):
    return [{k: v for k, v in line.items() if k != "time"} for line in folder.metrics]


def steps(folder):
    """The steps of all lines about training, those written twice included."""
    lines = (folder.path / "metrics.jsonl").read_text().splitlines()
    return [line["step"] for line in map(json.loads, lines) if line["split"] == "train"]


class Payload:
    """Makes a file when it is read from a pickle."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)

    def works(self):
        """Whether a plain pickle would be executed."""
        pickle.loads(pickle.dumps(self))
        made = self.path.exists()
        self.path.unlink(missing_ok=True)
        return made


def torn(whole, damage):
    """The bytes of a file as a machine may leave them that went down."""
    middle = len(whole) // 2
    return {
        "cut": whole[:middle],
        "empty": b"",
        "garbage": whole[:middle] + bytes(64) + whole[middle + 64 :],
    }[damage]
