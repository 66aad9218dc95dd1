"""One execution of a run, and the three records that it leaves.

``submission.json`` says who will execute it: a process of some host, or a job in a scheduler's
queue. ``start.json`` says that such a job has begun, ``exit.json`` how the attempt ended. Each is
written once; if two processes try, the first counts.
"""

from __future__ import annotations

import getpass
import math
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from study.files import read_json, write_json, write_once

__all__ = [
    *("CAUSES", "GONE", "Attempt"),
    *("cancelled_by", "checkpoints", "last_sign", "process_record"),
]

CAUSES = ("completed", "failed", "preempted", "timeout", "oom", "killed", "lost")
"""What ``exit.json`` may name."""

GONE = "the process is gone and left no record"

PID_TOLERANCE = 1.0  # seconds between two readings of one process's start by the clock
CLAIM_GRACE = 10.0  # seconds to write submission.json until a claim counts as abandoned

BESIDE_CHECKPOINTS = (".py", ".json", ".log")
"""What frameworks write among them before the first one: a configuration, losses."""


@dataclass(frozen=True)
class Attempt:
    """One execution of a run: its number, folder, and what has been recorded so far."""

    n: int
    path: Path
    submission: dict[str, Any] | None = None
    start: dict[str, Any] | None = None
    exit: dict[str, Any] | None = None

    @classmethod
    def read(cls, path: Path) -> Attempt:
        """Read the records in the attempt's folder."""
        names = ("submission.json", "start.json", "exit.json")
        return cls(int(path.name), path, *(read_json(path / name) for name in names))

    @property
    def launcher(self) -> str | None:
        """Name of the launcher that submitted it, None while that is unwritten."""
        return None if self.submission is None else self.submission.get("launcher")

    @property
    def by_job(self) -> bool:
        """Whether a scheduler's job executes it; only its launcher can ask about that."""
        return self.submission is not None and "token" in self.submission

    @property
    def began(self) -> float | None:
        """When it began, or was submitted while it has not, in seconds since the epoch."""
        return (self.start or self.submission or {}).get("time")

    def submit(self, launcher: str, pid: int, **more: Any) -> None:
        """Record which process works on the attempt; `RunFolder.state` looks for it."""
        record = {"launcher": launcher, **process_record(pid), **more}
        write_json(self.path / "submission.json", record)

    def queue(self, launcher: str, token: str, index: int) -> None:
        """Record that task `index` of the launcher's job `token` is to execute the attempt."""
        write_json(
            self.path / "submission.json",
            {
                "launcher": launcher,
                "token": token,
                "index": index,
                "user": getpass.getuser(),
                "host": socket.gethostname(),
                "time": round(time.time(), 3),
            },
        )

    def begin(self, job: str, node: str = "", restart: int = 0) -> bool:
        """Record that this process of the scheduler's job `job` has begun the attempt.

        `node` is what the scheduler calls this host; `restart` counts how often it has put the job
        back into the queue. False if another process has begun the attempt, or it was written off.
        It must not be executed then.
        """
        record = {**process_record(os.getpid()), "job": job, "restart": restart}
        return write_once(self.path / "start.json", record | ({"node": node} if node else {}))

    def write_off(self, cause: str, error: str, ended: float | None = None, **more: Any) -> bool:
        """Record the end of an attempt that left no record; False if it left one or is at work.

        A job that comes later cannot begin an attempt that is written off. `ended` is the time of
        the end in seconds since the epoch, if that is known.
        """
        if self.by_job and self.start is None:
            closed = {"host": socket.gethostname(), "time": round(time.time(), 3), "job": None}
            if not write_once(self.path / "start.json", closed):
                return False
        # A job may have waited for long before it began.
        began = (self.start or {}).get("time") if self.by_job else self.began
        seconds = max(0.0, ended - began) if ended and began else 0.0
        return self._end(cause, -1, seconds, error, "", more)

    def end(
        self, cause: str, code: int, started: float, error: str, trace: str = "", **more: Any
    ) -> bool:
        """Record how the attempt ended that began at `started`, in seconds since the epoch.

        False if there is a record. When several processes train a run together, the first one to
        fail knows why; the others only know that they lost it.
        """
        return self._end(cause, code, time.time() - started, error, trace, more)

    def _end(
        self, cause: str, code: int, seconds: float, error: str, trace: str, more: dict[str, Any]
    ) -> bool:
        record = {
            "cause": cause,
            "code": code,
            "seconds": round(seconds, 3),
            "error": error,
            "traceback": trace,
            "saved": self._has_saved(),
            **more,
        }
        return write_once(self.path / "exit.json", record)

    @property
    def saved(self) -> bool:
        """Whether it has left a checkpoint that is newer than its beginning.

        True of attempts that ended before this was recorded.
        """
        return self._has_saved() if self.exit is None else bool(self.exit.get("saved", True))

    def _has_saved(self) -> bool:
        """Look for the checkpoint.

        Both times are those of one disk, whose clock may not be this host's.
        """
        marks = [self.path / name for name in ("start.json", "submission.json")]
        began = next((mark.stat().st_mtime for mark in marks if mark.exists()), math.inf)
        return any(f.stat().st_mtime > began for f in checkpoints(self.path.parents[1]))

    def cancel(self, user: str) -> None:
        """Record that `user` asked for its end; without this it would look like a preemption."""
        write_json(self.path / "cancel.json", {"user": user, "time": round(time.time(), 3)})

    def note(self, state: str) -> None:
        """Record the state in which the scheduler saw it end, beside ``exit.json``."""
        write_once(self.path / "scheduler.json", {"scheduler": state})

    @property
    def ending(self) -> dict[str, Any]:
        """How it ended: ``exit.json``, and the scheduler's state if that was recorded."""
        noted = read_json(self.path / "scheduler.json") if self.by_job else None
        return {**(self.exit or {}), **(noted or {})}

    @property
    def node(self) -> str:
        """What the scheduler calls the host on which its job was; empty where that is unknown."""
        told = (self.exit or {}).get("job") or {}
        started = self.start or {}
        here = started.get("node") or (started.get("host") if started.get("job") else "")
        return str(told.get("node") or here or "")

    @property
    def in_hand(self) -> bool:
        """Whether a process of this host holds it, or one on another host or of a scheduler may.

        It is also true in the first seconds after the claim, before the submission is written.
        """
        if self.exit is not None:
            return False
        if self.submission is None:
            return time.time() - self.path.stat().st_mtime < CLAIM_GRACE
        return self.by_job or _elsewhere(self.submission) or _lives(self.submission)


def cancelled_by(attempt: Attempt) -> str | None:
    """Return who asked for the attempt's end, None if nobody did."""
    asked = read_json(attempt.path / "cancel.json")
    return str(asked.get("user")) if asked else None


def last_sign(attempt: Attempt) -> float:
    """Return when the attempt last showed that it lives, in seconds since the epoch."""
    folder = attempt.path.parents[1]
    records = [attempt.submission or {}, attempt.start or {}]
    signs = [float(record["time"]) for record in records if "time" in record]
    begun = attempt.start is not None or not attempt.by_job
    for path in (folder / "metrics.jsonl", folder / "train.log", attempt.path / "stdout"):
        if begun and path.exists():
            signs.append(path.stat().st_mtime)
    return max(signs, default=0.0)


def checkpoints(run: Path) -> Iterator[Path]:
    """Yield the checkpoints in a run's folder, or files that may be their parts."""
    for file in (run / "checkpoints").rglob("*"):
        if file.is_file() and file.suffix not in BESIDE_CHECKPOINTS:
            yield file


def process_record(pid: int) -> dict[str, Any]:
    """Return what identifies a process of this host (host, pid, start), and the time."""
    return {
        "host": socket.gethostname(),
        "pid": pid,
        "pid_created": psutil.Process(pid).create_time(),
        **_start_since_boot(pid),
        "time": round(time.time(), 3),
    }


def _start_since_boot(pid: int) -> dict[str, Any]:
    """Return when a process began, as no clock that is set moves it; empty without ``/proc``.

    https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return {}
    # The second field is the program's name in brackets, which may hold blanks and brackets too.
    fields_from_third = stat.rpartition(b")")[2].split()
    return {"boot": boot, "pid_ticks": int(fields_from_third[22 - 3])}


def _elsewhere(submission: dict[str, Any]) -> bool:
    return submission.get("host") != socket.gethostname()


def _lives(submission: dict[str, Any]) -> bool:
    """Whether the recorded process, and not another with its number, lives on this host."""
    pid, created = submission.get("pid"), submission.get("pid_created")
    if not isinstance(pid, int) or not isinstance(created, int | float):
        return False
    try:
        process = psutil.Process(pid)
        since_boot = _start_since_boot(pid)
        if since_boot and "pid_ticks" in submission:
            same = since_boot.items() <= submission.items()
        else:
            same = abs(process.create_time() - created) <= PID_TOLERANCE
        # A zombie has ended; its parent has not asked for the exit code yet.
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
