"""The run folder on disk: the only thing that passes from training to analysis.

``docs/run-folder.md`` is the contract. This module derives the state of a run from its files and,
if a job of a cluster works on it, from the scheduler's answer. Imports no framework.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.errors import StudyError
from study.files import BrokenFile, Unreadable, read_json, read_metrics
from study.runs.attempt import CAUSES, GONE, Attempt, last_sign
from study.runs.items import FILE, read_items
from study.runs.named import the_one

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    *("RESULT_KEYS", "RUN_KEYS", "SCHEMA", "SETTLED", "STATES", "RunFolder", "Scheduler"),
    *("find_run", "iter_runs", "without_value"),
]

SCHEMA = 1  # the newest that this code reads

RUN_KEYS = ("id", "label", "hash", "grid", "science")
RESULT_KEYS = ("metric", "metrics", "untrained", "loss", "cost", "seconds")
"""What ``run.json`` and ``result.json`` have at least."""

STATES = ("planned", "queued", "running", *CAUSES)
"""Every state of a run; the causes are how its newest attempt ended."""

SETTLED = ("completed", "queued", "running", "broken")
"""Conditions of a run in which no attempt should start."""

Scheduler = Callable[[Attempt], str | None]
"""Returns the state of an attempt that a job executes; None if the attempt's record decides."""


@dataclass(frozen=True)
class RunFolder:
    """One run on disk. Every property reads afresh; only `claim` writes."""

    path: Path

    @property
    def run(self) -> dict[str, Any] | None:
        """``run.json``; `StudyError` if its schema is newer than `SCHEMA`."""
        return _of_known_schema(self.path / "run.json", RUN_KEYS)

    @property
    def result(self) -> dict[str, Any] | None:
        """``result.json``, None until the run is done; checks the schema too."""
        return _of_known_schema(self.path / "result.json", RESULT_KEYS)

    @property
    def provenance(self) -> dict[str, Any] | None:
        """``provenance.json``: commit, packages, host, data."""
        return read_json(self.path / "provenance.json")

    @property
    def note(self) -> dict[str, Any] | None:
        """``note.json``: what somebody wrote about the run; see `study.runs.note`."""
        return read_json(self.path / "note.json")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """``metrics.jsonl`` as `read_metrics` returns it."""
        return read_metrics(self.path / "metrics.jsonl")

    @property
    def items(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """``items.npz``: arrays by name, for `CountsItems.value_of_items`; None if not kept."""
        return read_items(self.path / FILE)

    @property
    def attempts(self) -> list[Attempt]:
        """The attempts in the order in which they were made."""
        return [Attempt.read(path) for path in self._attempt_paths()]

    @property
    def newest(self) -> Attempt | None:
        """The newest attempt."""
        paths = self._attempt_paths()
        return Attempt.read(paths[-1]) if paths else None

    def _attempt_paths(self) -> list[Path]:
        folder = self.path / "attempts"
        try:
            found = [*folder.iterdir()] if folder.is_dir() else []
        except PermissionError:
            raise Unreadable(folder) from None
        return sorted((p for p in found if p.name.isdecimal()), key=lambda p: int(p.name))

    def state(self, scheduler: Scheduler | None = None) -> str:
        """Derive the state, one of `STATES`; nothing on disk holds it.

        A process on another host cannot be seen from here: without an ``exit.json`` it counts as
        running. So does a job of a cluster without a `scheduler` to ask. An ``exit.json`` that
        claims completion without a ``result.json`` (somebody deleted it) is ``failed``, so that the
        run can be trained again.
        """
        _ = self.run  # refuses a newer schema; this code cannot judge its attempts
        if self.result is not None:
            return "completed"
        if (attempt := self.newest) is None:
            return "planned"
        if attempt.by_job and scheduler and (known := scheduler(attempt)):
            return known
        if attempt.exit is None:
            if attempt.by_job:
                return "running" if attempt.start else "queued"
            if attempt.in_hand:
                return "running"
            # A process that ended between the two checks has written its record by now.
            attempt = Attempt.read(attempt.path)
        return self._ended(attempt)

    def _ended(self, attempt: Attempt) -> str:
        if attempt.exit is None:
            return "killed"
        cause = attempt.exit.get("cause")
        if cause not in CAUSES:
            raise BrokenFile(f"{attempt.path / 'exit.json'}: unknown cause {cause!r}")
        if cause == "completed":
            return "completed" if self.result is not None else "failed"
        return str(cause)

    def condition(self, scheduler: Scheduler | None = None) -> str:
        """`state`, or ``broken`` if a file of the run cannot be read or its result has no value.

        For many runs at once.
        """
        try:
            return "broken" if without_value(self.result) else self.state(scheduler)
        except BrokenFile:
            return "broken"

    def claim(self) -> Attempt | None:
        """Take the next attempt; None if the run is done or somebody else has it.

        Creating the folder is the claim: only one of any number of claimants succeeds. Later ones
        are refused while the winner's process lives on this host, and for some seconds while its
        submission is unwritten. A process on another host and a job of a cluster count as living
        until an ``exit.json`` says otherwise. Of one that is gone without, this is recorded.
        """
        # Take the number before the checks: a claim in between then makes mkdir fail.
        paths = self._attempt_paths()
        before = Attempt.read(paths[-1]) if paths else None
        if self.result is not None or (before is not None and before.in_hand):
            return None
        if before is not None and before.exit is None:
            if before.submission is None:
                before.write_off("lost", "it was claimed, and never submitted")
            else:
                before.write_off("killed", GONE, last_sign(before))
        n = before.n + 1 if before is not None else 1
        path = self.path / "attempts" / str(n)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            return None
        return Attempt(n, path)


def iter_runs(root: Path) -> Iterator[RunFolder]:
    """Yield the folders under `root` that hold a ``run.json``, sorted by name.

    A folder without read permission is yielded too, so that its reader reports it.
    """
    for path in sorted(root.iterdir()) if root.is_dir() else []:
        try:
            there = (path / "run.json").is_file()
        except PermissionError:
            there = True
        if there:
            yield RunFolder(path)


def find_run(root: Path, name: str) -> RunFolder:
    """Return the one run under `root` that has `name`, a part of its id.

    `StudyError` if there is none, with the nearest ids, or more than one, with their ids.
    """
    runs = {folder.path.name: folder for folder in iter_runs(root)}
    return runs[the_one(runs, name, str(root.resolve()))]


def without_value(result: dict[str, Any] | None) -> str:
    """Say that a result lacks a finite value of its metric; empty where it has one, or is None.

    A worker writes no such result any more. One of probes has no metric.
    """
    if not result or not (metric := result["metric"]):
        return ""
    value = result["metrics"].get(metric)
    if value is None or value != value:  # NaN
        return f"result.json has no value of {metric}: the evaluation measured nothing"
    if isinstance(value, float) and math.isinf(value):
        return f"result.json: value is {value}, which no run can have"
    return ""


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
