"""One side of a measured setting, and the columns it has in a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from study.benchmarks.cases import Case

__all__ = ["OURS", "Row", "rows_of"]

OURS = "ours"
MS = 1000.0


@dataclass(frozen=True)
class Row:
    """A side.

    Attributes
    ----------
    case: Case
        The setting; its reference is another side, or this one.
    side: str
        ``ours``, or the word of a reference.
    found: mapping
        What was measured, in seconds and bytes, None where a measurement failed: ``module``,
        ``rounds``, ``eager``, ``graph``, ``kernels``, ``copies``, ``peak``, ``failure``.
    ours: mapping
        The same of ours, which was measured in the same turns.
    """

    case: Case
    side: str
    found: Mapping[str, Any]
    ours: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The setting."""
        return f"{self.case.ours} {self.case.precision}"

    def ratio(self, what: str) -> float | None:
        """How many times ours this side takes, of ``eager``, ``graph`` or ``peak``."""
        theirs, ours = self.found[what], self.ours[what]
        return None if theirs is None or not ours else theirs / ours

    def milliseconds(self, what: str) -> float | None:
        """``eager`` or ``graph``."""
        taken = self.found[what]
        return None if taken is None else MS * taken

    def to_csv(self) -> dict[str, Any]:
        """Return the columns, unrounded; what failed is None."""
        found = self.found
        return {
            "side": self.side,
            **self.case.columns,
            "module": found["module"],
            "rounds": found["rounds"],
            "eager_milliseconds": self.milliseconds("eager"),
            "graph_milliseconds": self.milliseconds("graph"),
            "kernels": found["kernels"],
            "copies": found["copies"],
            "peak_bytes": found["peak"],
            "eager_ratio": self.ratio("eager"),
            "graph_ratio": self.ratio("graph"),
            "memory_ratio": self.ratio("peak"),
            "failure": found["failure"],
        }


def rows_of(group: Sequence[Case], answers: Mapping[str, Mapping[str, Any]]) -> list[Row]:
    """Return a row a side; `answers` are those of the worker for the cases of a setting."""
    cases = {OURS: group[0]} | {case.reference: case for case in group}
    return [Row(cases[side], side, found, answers[OURS]) for side, found in answers.items()]
