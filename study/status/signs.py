"""Signs of life: when a run that is trained last wrote something, and whether that is long ago.

A worker that hangs, or is stopped, is as alive for its scheduler as one that trains.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise

from study.files import BrokenFile, last_records
from study.runs.attempt import last_sign
from study.runs.folder import RunFolder

__all__ = ["Sign", "ago", "sign_of"]

PACE_FACTOR = 10.0
"""By this factor the longest pause between two records of an attempt must be exceeded."""

LEAST_SECONDS = 300.0
"""No shorter silence is remarkable, as that of an evaluation after quick steps."""


@dataclass(frozen=True)
class Sign:
    """The last sign of life of a run that is being trained.

    Attributes
    ----------
    seconds: float
        How long ago it was.
    pause: float, optional
        The longest pause between two records of the attempt, of those at the end of its metrics;
        None before the second.
    """

    seconds: float
    pause: float | None

    @property
    def overdue(self) -> bool:
        """Whether the run has been silent for far longer than it was before."""
        return self.pause is not None and self.seconds > max(
            LEAST_SECONDS, PACE_FACTOR * self.pause
        )

    def __str__(self) -> str:
        """Say when it was, and the usual pause where that is exceeded."""
        told = f"last sign {ago(self.seconds)} ago"
        if self.overdue and self.pause is not None:
            told += f", before at most {ago(self.pause)} apart: does it hang?"
        return told


def sign_of(folder: RunFolder) -> Sign | None:
    """Return the last sign of life of a running run; None where nothing can be read."""
    try:
        attempt = folder.newest
        if attempt is None:
            return None
        began = attempt.began or 0.0
        records = last_records(folder.path / "metrics.jsonl")
        sign = last_sign(attempt)
    except BrokenFile:
        return None
    own = [at for each in records if (at := float(each.get("time", 0.0))) >= began]
    pause = max((after - before for before, after in pairwise(own)), default=None)
    return Sign(max(0.0, time.time() - sign), pause)


def ago(seconds: float) -> str:
    """Write a duration in its largest unit: ``40 s``, ``12 min``, ``3 h``, ``2 days``."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
