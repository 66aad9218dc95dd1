"""The mean of one contrast over groups, with an interval; and which groups are not independent."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from scipy import stats

from analysis.stats.estimate import Estimate
from analysis.stats.group import Group

__all__ = ["alike", "combined"]

TRAINING = ["task", "data", "mechanism", "seed", "value", "loss_last"]
"""Columns in which two runs agree only if they are one training, done once or again."""


def combined(
    estimates: Sequence[Estimate], parts: Sequence[Sequence[int]], confidence: float
) -> np.ndarray:
    """Return mean, low and high of estimates of several groups, (3,); of many tables (3, tables).

    The squared errors of independent groups add up, with the degrees of freedom of Satterthwaite
    (1946, Biometrics Bulletin 2, 110). Within a part the errors themselves do, which holds whatever
    their correlation.

    Parameters
    ----------
    estimates: sequence of Estimate
        One a group, in one unit.
    parts: sequence of sequence of int
        Groups that are not independent of each other, by their places; each group in one part.
    confidence: float
        Of the two-sided interval, which is NaN if one of the estimates has no error.
    """
    mean = np.mean([estimate.effect for estimate in estimates], axis=0)
    sums = [np.sum([estimates[at].error for at in part], axis=0) for part in parts]
    squares = (np.array(sums) / len(estimates)) ** 2
    # Without degrees of freedom the error is NaN, and so is all that follows.
    freedoms = [max(1, min(estimates[at].df for at in part)) for part in parts]
    total = squares.sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        df = total**2 / sum(square**2 / k for square, k in zip(squares, freedoms, strict=True))
    reach = np.where(total == 0, 0.0, stats.t.ppf((1 + confidence) / 2, df) * np.sqrt(total))
    return np.array([mean, mean - reach, mean + reach])


def alike(groups: Sequence[Group], words: Iterable[str]) -> list[list[int]]:
    """Return the places of groups in parts, such that groups of different parts share no training.

    ``none`` that stands nowhere is compared at every choice of sites, and a network that two grids
    have in common may have been trained twice from the same seeds.

    Parameters
    ----------
    groups: sequence of Group
    words: iterable of str
        The mechanisms whose runs count.
    """
    wanted = [*words]
    parts: list[tuple[list[int], set[tuple[str, ...]]]] = []
    for place, group in enumerate(groups):
        runs = group.done[group.done["mechanism"].isin(wanted)]
        # As text, in which a missing number is like another.
        seen = set(runs[TRAINING].astype(str).itertuples(index=False, name=None))
        places = [place]
        rest = []
        for part in parts:
            if part[1] & seen:
                places, seen = part[0] + places, part[1] | seen
            else:
                rest.append(part)
        parts = [*rest, (places, seen)]
    return [places for places, _ in parts]
