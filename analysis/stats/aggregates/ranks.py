"""Ranks of the mechanisms of one group, with simultaneous intervals.

Of Al Mohamad, Goeman and van Zwet (2021, Biometrics, "Simultaneous confidence intervals for ranks
with application to ranking institutions"): a mechanism ranks behind all that are surely better, and
before all that are surely worse. They say "surely" after Tukey; we do after Bonferroni, over all
pairs, since errors are unequal here and designs have gaps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from analysis.stats.model import Model

__all__ = ["ranks"]


def ranks(model: Model, words: Sequence[str], sign: int, confidence: float) -> np.ndarray:
    """Return rank, low and high of each mechanism; 1 is the best.

    All intervals hold at once. Mechanisms with the same value share the mean of their ranks.

    Parameters
    ----------
    model: Model
        Of the group; it may have further mechanisms.
    words: sequence of str
        The mechanisms that are ranked, connected by common seeds.
    sign: int
        1 if higher is better, else -1.
    confidence: float
        Of all intervals together. They are NaN if no two mechanisms have two seeds in common.

    Returns
    -------
    numpy.ndarray
        (3, mechanisms), of a model of many tables (3, mechanisms, tables).
    """
    count = len(words)
    pairs = [*itertools.combinations(range(count), 2)]
    found = np.ones((3, count, *np.shape(model.sd)))
    value, low, high = found
    high[:] = count
    critical, known = math.inf, False
    if model.df:
        critical = float(stats.t.ppf(1 - (1 - confidence) / 2 / len(pairs), model.df))
    for one, other in pairs:
        estimate = model.contrast({words[one]: 1.0, words[other]: -1.0}).repeated
        gain = sign * estimate.effect
        known = known or not np.isnan(estimate.error).all()
        sure = abs(gain) > critical * estimate.error
        for mine, its in ((one, gain), (other, -gain)):
            value[mine] += (its < 0) + (its == 0) / 2
            low[mine] += sure & (its < 0)
            high[mine] -= sure & (its > 0)
    if not known:
        found[1:] = math.nan
    return found
