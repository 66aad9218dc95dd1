"""Attempts at a run by a worker of its own, which are ended by a signal or end by themselves."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time

from study.runs.folder import RunFolder

__all__ = ["Payload", "assert_equal", "curve", "finish", "kill", "steps", "stop", "torn"]

PATIENCE = 300  # seconds


def finish(path):
    """Carry out the run at `path` to its end; return what the worker wrote to stderr."""
    process, _ = _start(path)
    _, errors = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 0, errors.decode()
    return errors.decode()


def kill(path, after_epoch):
    """Begin, and kill the worker once something of the next epoch is recorded."""
    process, attempt = _start(path)
    _wait(process, path, lambda line: line["epoch"] > after_epoch)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert RunFolder(path).result is None
    (attempt.path / "exit.json").write_text(
        json.dumps({"cause": "killed", "code": -9, "seconds": 1.0, "error": ""})
    )


def stop(path, after_step, number):
    """Begin, send the signal once a later step is recorded, and return the cause of the end."""
    process, attempt = _start(path)
    _wait(process, path, lambda line: line["step"] > after_step)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert RunFolder(path).result is None
    return json.loads((attempt.path / "exit.json").read_text())["cause"]


def _start(path):
    attempt = RunFolder(path).claim()
    worker = [sys.executable, "-m", "study.worker", str(path), str(attempt.n)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(worker, env=environment, stdout=subprocess.DEVNULL, stderr=-1)
    return process, attempt


def _wait(process, path, reached):
    deadline = time.monotonic() + PATIENCE
    while not any(line["split"] == "train" and reached(line) for line in RunFolder(path).metrics):
        assert time.monotonic() < deadline, "no progress"
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.02)


def assert_equal(disturbed, undisturbed):
    """Compare all that two finished runs have measured, to the last digit."""
    for key in ("metrics", "untrained", "loss", "cost"):
        assert disturbed.result[key] == undisturbed.result[key], key
    assert curve(disturbed) == curve(undisturbed)
    assert len(curve(disturbed)) > 5


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
