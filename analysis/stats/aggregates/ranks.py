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
    """Return rank, low and high of each mechanism, (3, mechanisms); 1 is the best.

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
    """
    count = len(words)
    pairs = [*itertools.combinations(range(count), 2)]
    if not pairs:
        return np.ones((3, count))
    found = np.array([np.ones(count), np.ones(count), np.full(count, float(count))])
    value, low, high = found
    critical = math.inf
    if model.df:
        critical = float(stats.t.ppf(1 - (1 - confidence) / 2 / len(pairs), model.df))
    known = False
    for one, other in pairs:
        estimate = model.contrast({words[one]: 1.0, words[other]: -1.0}).repeated
        gain = sign * estimate.effect
        better, worse = (one, other) if gain > 0 else (other, one)
        value[[one, other]] += 0.5 if gain == 0 else 0.0
        value[worse] += gain != 0
        known = known or not math.isnan(estimate.error)
        if abs(gain) > critical * estimate.error:
            low[worse] += 1
            high[better] -= 1
    if not known:
        found[1:] = math.nan
    return found
