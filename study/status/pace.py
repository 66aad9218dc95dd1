"""How far a run has got, and how long the rest takes at the pace of its present attempt."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plugins.contracts.tasks import find_task
from study.files import Unreadable, last_records
from study.runs.folder import RunFolder

__all__ = ["Paces", "newest", "share"]

TAIL_BYTES = 8192  # of metrics.jsonl, enough for its newest lines

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
    """The paces of runs; remembers where each attempt began."""

    def __init__(self) -> None:
        self._began: dict[tuple[Path, int], float] = {}

    def seconds_left(
        self, folder: RunFolder, science: Mapping[str, Any], record: Record | None
    ) -> float | None:
        """Return how long a run takes from now on; None while its attempt shows no progress.

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
        started = ((attempt.start or attempt.submission) if attempt else None) or {}
        began_at = started.get("time")
        if attempt is None or record is None or began_at is None:
            return None
        if record.get("time", 0.0) < began_at:  # of an earlier attempt
            return None
        key = (folder.path, attempt.n)
        if key not in self._began:
            self._began[key] = _began(folder, science, began_at) if attempt.n > 1 else 0.0
        done = share(science, record)
        gained = done - self._began[key]
        return (time.time() - began_at) * (1 - done) / gained if gained > 0 else None


def _began(folder: RunFolder, science: Mapping[str, Any], began_at: float) -> float:
    """Return the share at which the newest attempt began, once it has written a record.

    The attempt went on from a checkpoint, perhaps an older one than the last record before it. So
    it began at the last earlier record that its own records do not reach back to.
    """
    shares: dict[bool, list[float]] = {False: [], True: []}
    for line in folder.metrics:
        if line["split"] == "train":
            shares[line.get("time", 0.0) >= began_at].append(share(science, line))
    first = min(shares[True], default=0.0)
    return max((before for before in shares[False] if before < first), default=0.0)


def newest(path: Path, split: str) -> dict[str, Any] | None:
    """Return the last record of a split, looking at the end of the file only.

    None if there is none, or if the file may not be read.
    """
    try:
        records = reversed(last_records(path))
    except Unreadable:
        return None
    return next((record for record in records if record.get("split") == split), None)
