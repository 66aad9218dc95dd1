"""The tasks of an array that one line of ``squeue`` or ``sacct`` is about.

Slurm writes a task as ``57_3``, and those that wait together as ``57_[1,3,5-7]``, ``57_[0-10:2]``
or ``57_[0-11%4]``, where 4 may run at a time. A long list ends in ``...`` where it was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CUT", "Indices", "parse", "write"]

PART = re.compile(r"(\d+)(?:-(\d+)(?::(\d+))?)?")
CUT = "..."
"""What Slurm writes at the end of a list that it cut."""


@dataclass(frozen=True)
class Indices:
    """Indices of an array.

    Attributes
    ----------
    listed: tuple of int
        Those that the line names.
    onwards: int, optional
        The list was cut, and may go on from this index; None if it is whole.
    """

    listed: tuple[int, ...] = ()
    onwards: int | None = None


def parse(text: str) -> Indices:
    """Read what stands behind the ``_`` of a job's id; empty if that names no task of an array."""
    body, cut, _ = text.partition(CUT)
    body = body.removeprefix("[").partition("]")[0].partition("%")[0]
    # A number that stands right before the dots may have lost digits.
    *parts, last = body.split(",")
    parts += [last] if not cut else [last.partition("-")[0]] if "-" in last else []
    listed: list[int] = []
    for part in parts:
        if not (found := PART.fullmatch(part)):
            return Indices()
        first, end, step = (int(number) if number else None for number in found.groups())
        assert first is not None
        listed += range(first, (first if end is None else end) + 1, step or 1)
    return Indices(tuple(listed), max(listed, default=-1) + 1 if cut else None)


def write(indices: Iterable[int]) -> str:
    """Write indices as Slurm does: ``0-3,7``."""
    parts: list[list[int]] = []
    for index in sorted(indices):
        if parts and parts[-1][-1] == index - 1:
            parts[-1][1:] = [index]
        else:
            parts.append([index])
    return ",".join("-".join(map(str, part)) for part in parts)
