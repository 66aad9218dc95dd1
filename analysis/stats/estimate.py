"""What runs say of a comparison of mechanisms, as an estimate with its error."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from scipy import stats

__all__ = ["REPEATED", "Estimate", "Shared"]

REPEATED = 2
"""Common seeds without which a difference of two mechanisms has no interval."""


@dataclass(frozen=True)
class Estimate:
    """A contrast of mechanisms, as seen.

    Parameters
    ----------
    effect: float
        In units of the metric; NaN where the runs cannot tell it.
    error: float
        Standard error of `effect`; NaN without residual degrees of freedom.
    df: int
        Residual degrees of freedom.
    n: int
        Fewest seeds that two of the mechanisms that take part have in common.
    """

    effect: float
    error: float
    df: int
    n: int

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the two-sided confidence interval by Student's t; NaN where there is none."""
        if not self.df:
            return math.nan, math.nan
        reach = float(stats.t.ppf((1 + confidence) / 2, self.df)) * self.error
        return self.effect - reach, self.effect + reach

    def half_width(self, confidence: float) -> float:
        """Return half the width of that interval."""
        low, high = self.interval(confidence)
        return (high - low) / 2

    @property
    def repeated(self) -> Estimate:
        """The estimate, without an error where the mechanisms share fewer than two seeds.

        Others of the group may have the seeds that tell how much seeds scatter; these have not.
        """
        return self if self.n >= REPEATED else replace(self, error=math.nan, df=0)

    @property
    def p(self) -> float:
        """Two-sided p value of no effect; NaN where there is none."""
        if not self.df or math.isnan(self.error):
            return math.nan
        if self.error == 0:
            return float(self.effect == 0)
        return float(2 * stats.t.sf(abs(self.effect) / self.error, self.df))


@dataclass(frozen=True)
class Shared:
    """What seeds one by one say of a contrast.

    Parameters
    ----------
    f, p: float
        Of the test that it differs from seed to seed by no more than the residuals explain.
    df: int
        Degrees of freedom of its numerator; those of its denominator are `rest`.
    rest: int
    estimate: Estimate
        Mean and standard error of the contrast's values, one a seed.
    asked: bool
        Whether a verdict must hold by `estimate`, too.
    traits: tuple of str
        What some of its mechanisms have, such as ``E3``, and differs in effect from seed to seed.
    """

    f: float
    p: float
    df: int
    rest: int
    estimate: Estimate
    asked: bool = False
    traits: tuple[str, ...] = ()
