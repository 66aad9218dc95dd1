"""How probable it is that one mechanism, trained anew, beats another."""

from __future__ import annotations

import math

from scipy import special

from analysis.stats.model import ROUNDING, Model

__all__ = ["improvement"]

CERTAIN = 1e3
"""A t beyond which all is 0 or 1 to the last digit; scipy's inversion ends only far below 1e6."""


def improvement(
    model: Model, word: str, reference: str, sign: int, confidence: float
) -> tuple[float, float, float]:
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
    tuple of float
        NaN where the two have fewer than two seeds in common. 0, 1/2 or 1 without doubt where their
        difference is the same in all seeds.
    """
    found = model.by_seed({word: 1.0, reference: -1.0})
    if not found.df:
        return math.nan, math.nan, math.nan
    gain = sign * found.effect
    tiny = 2 * ROUNDING * float(model.runs["value"].abs().max())
    if found.error <= tiny:
        chance = 0.5 if abs(gain) <= tiny else float(gain > 0)
        return chance, chance, chance
    t = max(-CERTAIN, min(CERTAIN, gain / found.error))
    tail = (1 - confidence) / 2
    low, high = special.nctdtrinc(found.df, [1 - tail, tail], t)
    value, low, high = special.ndtr([each / math.sqrt(found.n) for each in (t, low, high)])
    return float(value), float(low), float(high)
