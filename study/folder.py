"""The run folder on disk: the only thing that passes from training to analysis.

``docs/run-folder.md`` is the contract. Here its files are written so that a reader never sees half
of one, and the state of a run is derived from them. Imports no framework.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from study.errors import StudyError, nearest

SCHEMA = 1  # the newest that this code reads

STATES = ("planned", "running", "completed", "failed", "preempted", "timeout", "oom", "killed")
"""Every state of a run; the last six are also the causes that ``exit.json`` may name."""

SETTLED = ("completed", "running", "broken")
"""Conditions of a run that nobody should start an attempt at."""

PID_TOLERANCE = 1.0  # seconds by which two readings of one process's start may differ
CLAIM_GRACE = 10.0  # seconds in which to write submission.json before a claim counts as abandoned


class BrokenFile(StudyError):
    """A file of a run folder that is torn, empty or not what the contract says."""


def write_json(path: Path, obj: Any) -> None:
    """Write `obj` so that a reader of `path` sees the old file or the new one, whole.

    Missing parent folders are created; keys keep their order.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not tempfile: its 0600 would hide the results from the colleagues who share the disk.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8") as file:
            json.dump(obj, file, indent=2, ensure_ascii=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def append_jsonl(path: Path, record: dict[str, Any]) -> None:
    """Append `record` as one line, after ending the torn line of a killed writer if there is one.

    OSError if the disk took only a part of it.
    """
    line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b"\n":
            line = b"\n" + line
        if os.write(descriptor, line) != len(line):  # one write: a kill leaves all of it or none
            raise OSError(f"{path}: the line was cut short; is the disk full?")
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when there is no such file, `BrokenFile` when it holds no object."""
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        obj = json.loads(text)
    except ValueError as error:  # UnicodeDecodeError is one
        raise BrokenFile(f"{path}: empty or torn JSON ({error})") from None
    if not isinstance(obj, dict):
        raise BrokenFile(f"{path}: holds a JSON {type(obj).__name__}, not an object")
    return obj


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read ``metrics.jsonl``: the last record of each (split, step), by step, step-less ones first.

    Torn lines are skipped: a killed writer leaves one at the end, in the middle once the next
    attempt has appended. A resumed run repeats steps; only its later account counts.
    """
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    records: dict[tuple[Any, Any], dict[str, Any]] = {}
    for line in lines:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records[record.get("split"), record.get("step")] = record
    # The sort is stable: records of one step keep the order in which they were first written.
    return sorted(records.values(), key=lambda r: (r.get("step") is not None, r.get("step") or 0))


@dataclass(frozen=True)
class Attempt:
    """One execution of a run: its number, folder, and what it has recorded so far."""

    n: int
    path: Path
    submission: dict[str, Any] | None = None
    exit: dict[str, Any] | None = None

    def submit(self, launcher: str, pid: int, **more: Any) -> None:
        """Record which process works on the attempt; `RunFolder.state` looks for it."""
        record = {
            "launcher": launcher,
            "host": socket.gethostname(),
            "pid": pid,
            "pid_created": psutil.Process(pid).create_time(),
            "time": round(time.time(), 3),
        }
        write_json(self.path / "submission.json", record | more)

    def end(self, cause: str, code: int, started: float, error: str, trace: str = "") -> None:
        """Record how the attempt ended, `started` being when, in seconds since the epoch."""
        write_json(
            self.path / "exit.json",
            {
                "cause": cause,
                "code": code,
                "seconds": round(time.time() - started, 3),
                "error": error,
                "traceback": trace,
            },
        )


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Every property reads afresh; only `claim` writes."""

    path: Path

    @property
    def run(self) -> dict[str, Any] | None:
        """``run.json``; `StudyError` if its schema is newer than `SCHEMA`."""
        return _of_known_schema(self.path / "run.json", ("id", "label", "hash", "grid", "science"))

    @property
    def result(self) -> dict[str, Any] | None:
        """``result.json``, None until the run is done; its schema is checked likewise."""
        keys = ("metric", "metrics", "untrained", "loss", "cost", "seconds")
        return _of_known_schema(self.path / "result.json", keys)

    @property
    def provenance(self) -> dict[str, Any] | None:
        """``provenance.json``: commit, packages, host, data."""
        return read_json(self.path / "provenance.json")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """``metrics.jsonl`` as `read_metrics` returns it."""
        return read_metrics(self.path / "metrics.jsonl")

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts in the order in which they were made."""
        return [
            Attempt(int(p.name), p, read_json(p / "submission.json"), read_json(p / "exit.json"))
            for p in self._attempt_paths()
        ]

    def _attempt_paths(self) -> list[Path]:
        folder = self.path / "attempts"
        found = folder.iterdir() if folder.is_dir() else []
        return sorted((p for p in found if p.name.isdecimal()), key=lambda p: int(p.name))

    def state(self) -> str:
        """Derive the state, one of `STATES`; nothing on disk holds it.

        A process on another host cannot be seen from here: without an ``exit.json`` it counts as
        running, and whoever knows the scheduler knows better. An ``exit.json`` that claims
        completion without a ``result.json`` (somebody deleted it) is ``failed``, so that the run
        can be had again.
        """
        _ = self.run  # refuses a newer schema, whose attempts this code cannot judge
        if self.result is not None:
            return "completed"
        if not (paths := self._attempt_paths()):
            return "planned"
        newest = paths[-1]
        submission = read_json(newest / "submission.json")
        fresh = submission is None and _just_claimed(newest)
        # Whether it lives comes before what it left: a process that ends between the two looks
        # has written its exit.json by the second.
        running = submission is not None and (_elsewhere(submission) or _lives(submission))
        if (ending := read_json(newest / "exit.json")) is None:
            return "running" if running or fresh else "killed"
        cause = ending.get("cause")
        if cause not in STATES[2:]:
            raise BrokenFile(f"{newest / 'exit.json'}: unknown cause {cause!r}")
        if cause == "completed":
            return "completed" if self.result is not None else "failed"
        return str(cause)

    def condition(self) -> str:
        """`state`, or ``broken`` where a file of the run cannot be read: for many runs at once."""
        try:
            return self.state()
        except BrokenFile:
            return "broken"

    def claim(self) -> Attempt | None:
        """Take the next attempt; None if the run is done or somebody else has it.

        The creation of the folder is the claim: one of any number of claimants succeeds. Whoever
        comes later is refused while the winner's process lives on this host, and for
        `CLAIM_GRACE` seconds while its submission is unwritten. A process on another host counts as
        living until it says otherwise; if the host is gone, rename the attempt's folder.
        """
        # The number is taken before the checks: whoever claims in between makes mkdir fail.
        paths = self._attempt_paths()
        if self.result is not None or (paths and _in_hand(paths[-1])):
            return None
        n = int(paths[-1].name) + 1 if paths else 1
        path = self.path / "attempts" / str(n)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            return None
        return Attempt(n, path)


def iter_runs(root: Path) -> Iterator[RunFolder]:
    """Yield the folders under `root` that hold a ``run.json``, sorted by name."""
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        if (path / "run.json").is_file():
            yield RunFolder(path)


def find_run(root: Path, name: str) -> RunFolder:
    """Return the one run under `root` whose id is, begins or ends with `name`.

    `StudyError` if there is none, with the nearest id, or more than one, with their ids.
    """
    if not name:
        raise StudyError("name a run by its id, or by the beginning or the end of one")
    runs = {folder.path.name: folder for folder in iter_runs(root)}
    found = [name] if name in runs else [i for i in runs if i.startswith(name) or i.endswith(name)]
    if len(found) == 1:
        return runs[found[0]]
    if found:
        raise StudyError(f"{len(found)} runs match {name!r}:\n  " + "\n  ".join(found))
    raise StudyError(f"no run {name!r} in {root.resolve()}{nearest(name, runs)}")


def _of_known_schema(path: Path, keys: tuple[str, ...]) -> dict[str, Any] | None:
    obj = read_json(path)
    schema = SCHEMA if obj is None else obj.get("schema")
    if not isinstance(schema, int):
        raise BrokenFile(f"{path}: no schema number")
    if schema > SCHEMA:
        raise StudyError(f"{path}: schema {schema} is newer than {SCHEMA}; update this program")
    if obj is not None and (missing := [key for key in keys if key not in obj]):
        raise BrokenFile(f"{path}: has no {missing[0]!r}")
    return obj


def _elsewhere(submission: dict[str, Any]) -> bool:
    return submission.get("host") != socket.gethostname()


def _lives(submission: dict[str, Any]) -> bool:
    """Whether the recorded process lives on this host, and not another with its number."""
    pid, created = submission.get("pid"), submission.get("pid_created")
    if not isinstance(pid, int) or not isinstance(created, int | float):
        return False
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - created) <= PID_TOLERANCE
        # A zombie has ended; its parent has not asked for the exit code yet.
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _in_hand(attempt: Path) -> bool:
    """Whether an attempt is held by a process of this host, or was claimed a moment ago."""
    if (attempt / "exit.json").exists():
        return False
    if (submission := read_json(attempt / "submission.json")) is None:
        return _just_claimed(attempt)
    return _elsewhere(submission) or _lives(submission)


def _just_claimed(attempt: Path) -> bool:
    """Whether an attempt without a submission is so young that one may still be written."""
    return time.time() - attempt.stat().st_mtime < CLAIM_GRACE
