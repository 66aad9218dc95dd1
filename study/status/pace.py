"""How far a run has got, what it does now, and how long the rest takes at its present pace."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plugins.contracts.tasks import find_task
from study.files import Unreadable, last_records
from study.runs.folder import RunFolder

__all__ = ["Paces", "newest", "share"]

Record = Mapping[str, Any]


def share(science: Mapping[str, Any], record: Record | None) -> float:
    """Return which part of its training a run has done when it writes `record`, from 0 to 1.

    Its task says so; 0 where that is not installed, or knows another recipe by now.

    Parameters
    ----------
    science: mapping
        The run's science configuration.
    record: mapping, optional
        A ``train`` record of its metrics; None before the first.
    """
    if record is None:
        return 0.0
    try:
        task = find_task(science["task"])
        done = task.progress(task.Recipe.model_validate(science["recipe"]), record)
    except (KeyError, ValueError):
        return 0.0
    return min(done, 1.0)


class Paces:
    """The paces of runs; remembers the first record of each attempt."""

    def __init__(self) -> None:
        self._first: dict[tuple[Path, int], Record] = {}

    def phase(self, folder: RunFolder, science: Mapping[str, Any]) -> str:
        """Say what a run does that is being trained: starting, training or evaluating.

        A framework is imported and a model is built before the first record, for up to a minute.
        """
        last = next(iter(_own(folder, newest_records(folder))), None)
        if last is None:
            return "starting"
        return (
            "evaluating" if last["split"] == "train" and share(science, last) == 1 else "training"
        )

    def seconds_left(
        self, folder: RunFolder, science: Mapping[str, Any], record: Record | None
    ) -> float | None:
        """Return how long a run trains from now on; None before its attempt's second record.

        The time before the first record is that of imports, and no part of the pace.

        Parameters
        ----------
        folder: RunFolder
            A run that is being trained.
        science: mapping
            Its science configuration.
        record: mapping, optional
            Its newest ``train`` record.
        """
        attempt = folder.newest
        if attempt is None or record is None or not _own(folder, [record]):
            return None
        key = (folder.path, attempt.n)
        if key not in self._first:
            trained = [line for line in folder.metrics if line["split"] == "train"]
            self._first[key] = _own(folder, trained)[0]
        first, done = self._first[key], share(science, record)
        gained = done - share(science, first)
        return (time.time() - first["time"]) * (1 - done) / gained if gained > 0 else None


def _own(folder: RunFolder, records: Iterable[Record]) -> list[Record]:
    """Return those of some records that the newest attempt has written."""
    attempt = folder.newest
    began = attempt.began if attempt else None
    if began is None:
        return []
    return [record for record in records if record.get("time", 0.0) >= began]


def newest_records(folder: RunFolder) -> Sequence[Record]:
    """Return the last records of a run, the newest first; none if they may not be read."""
    try:
        return last_records(folder.path / "metrics.jsonl")[::-1]
    except Unreadable:
        return []


def newest(folder: RunFolder, split: str) -> Record | None:
    """Return the last record of a split, looking at the end of the file only; None without one."""
    return next((line for line in newest_records(folder) if line.get("split") == split), None)
