"""The Pareto front: the mechanisms that no other one beats in both accuracy and cost."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["front"]


def front(cost: Sequence[float], accuracy: Sequence[float]) -> list[int]:
    """Return the indices of the points that are not dominated, cheap ones first.

    A point is dominated if another costs no more and is at least as accurate, and is better in one
    of the two. Equal points do not dominate each other: all of them are returned.

    Parameters
    ----------
    cost, accuracy: sequences of float
        One number a point, in any unit; less cost and more accuracy is better. A point without one
        of the two (NaN) is never on the front.
    """
    points = [
        (c, -a, index)
        for index, (c, a) in enumerate(zip(cost, accuracy, strict=True))
        if not (np.isnan(c) or np.isnan(a))
    ]
    chosen: list[tuple[float, float, int]] = []
    for point in sorted(points):
        if not chosen or point[1] < chosen[-1][1] or point[:2] == chosen[-1][:2]:
            chosen.append(point)
    return [index for _, _, index in chosen]
