"""The blocks into which a grid divides a map. Imports no framework."""

from __future__ import annotations

__all__ = ["GRIDS", "blocks"]

GRIDS = (1, 2, 3, 6)
"""Blocks an axis of the grids of a pyramid, as in Yuan and Wang 2018."""


def blocks(length: int, number: int) -> list[slice]:
    """Return equal parts of an axis; the last takes what remains.

    An axis that is shorter than the number of its parts is one part.
    """
    step = length // number
    if step == 0:
        return [slice(0, length)]
    ends = [step * part for part in range(1, number)]
    return [slice(start, end) for start, end in zip([0, *ends], [*ends, length], strict=True)]
