"""How probable it is that one mechanism, trained anew, beats another."""

from __future__ import annotations

import math

import numpy as np
from scipy import special

from analysis.stats.model import Model

__all__ = ["improvement"]

CERTAIN = 1e3
"""A t beyond which all is 0 or 1 to the last digit; scipy's inversion ends only far below 1e6."""


def improvement(
    model: Model, word: str, reference: str, sign: int, confidence: float
) -> np.ndarray:
    """Return the chance that `word` comes out better than `reference`, with its low and high.

    One new training of each, from the same new seed. Differences of the two are normal, so that the
    chance is Phi(mean / sd). The interval is the exact one of that ratio, by the noncentral t
    (Reiser and Guttman 1986, Technometrics 28, 253). It takes the pair's own seeds alone: the
    larger of two errors is too large on purpose, and would pull all chances towards 1/2.

    Parameters
    ----------
    model: Model
        Of a group that has both.
    sign: int
        1 if higher is better, else -1.
    confidence: float
        Of the two-sided interval.

    Returns
    -------
    numpy.ndarray
        (3,), of a model of many tables (3, tables). NaN where the two have fewer than two seeds in
        common.
    """
    pair = {word: 1.0, reference: -1.0}
    found = model.by_seed(pair)
    if not found.df:
        return np.full(3, math.nan)
    # Of values that are the same in all seeds, the contrast knows what is rounding.
    gain = np.where(model.contrast(pair).effect == 0, 0.0, sign * found.effect)
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(gain == 0, 0.0, np.clip(gain / found.error, -CERTAIN, CERTAIN))
    tail = (1 - confidence) / 2
    low, high = (special.nctdtrinc(found.df, share, t) for share in (1 - tail, tail))
    return special.ndtr(np.array([t, low, high]) / math.sqrt(found.n))
