"""Comparisons of mechanisms: seeds as blocks, one residual variance for all mechanisms of a group.

``docs/statistics.md`` says why. The differences in tables and figures, effects and verdicts are all
contrasts of this one model, so that they cannot disagree.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd
from scipy import stats
from statsmodels.regression.linear_model import OLS  # statsmodels.api takes half a second more
from statsmodels.tools.sm_exceptions import SingularMatrixWarning

__all__ = ["REPEATED", "Estimate", "Model"]

REPEATED = 2
"""Common seeds without which a difference of two mechanisms has no interval."""

UNEQUAL = 0.01
"""Level of the test for a mechanism that scatters more than the others."""

TOLERANCE = 1e-9
"""Singular values of a projection are 0 to 1; smaller ones than this are rounding."""


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


class Model:
    """Least squares of value on mechanism and seed, additive; seeds are blocks.

    With two mechanisms its contrast is the paired t test. Seeds that not all mechanisms have are
    adjusted for; a seed that one mechanism has alone tells nothing about differences.

    Parameters
    ----------
    runs: pandas.DataFrame
        With the columns ``mechanism``, ``seed`` and ``value``; each cell at most once.
    """

    def __init__(self, runs: pd.DataFrame) -> None:
        self.runs = runs
        self.mechanisms = sorted(set(runs["mechanism"]))
        own = runs["mechanism"].to_numpy()[:, None] == np.array(self.mechanisms)
        seeds = np.array(sorted(set(runs["seed"])))[1:]
        blocks = runs["seed"].to_numpy()[:, None] == seeds
        self._design = np.hstack([own, blocks]).astype(float)
        with warnings.catch_warnings():
            # Mechanisms without a common seed; `contrast` tells what can still be estimated.
            warnings.simplefilter("ignore", SingularMatrixWarning)
            self._fit = OLS(runs["value"].to_numpy(dtype=float), self._design).fit()
        self.df = int(self._fit.df_resid)
        self.sd = math.sqrt(self._fit.ssr / self.df) if self.df else math.nan
        self._seeds = runs.groupby("mechanism")["seed"].agg(set)
        self._estimable = np.linalg.pinv(self._design) @ self._design  # onto the design's rows

    def contrast(self, weights: Mapping[str, float]) -> Estimate:
        """Estimate the sum of weight times mean over mechanisms.

        Parameters
        ----------
        weights: mapping of str to float
            Of mechanisms that have runs; they sum to zero.
        """
        row = self._row(weights)
        pairs = itertools.combinations(weights, 2)
        n = min(len(self._seeds[one] & self._seeds[other]) for one, other in pairs)
        # Where no chain of common seeds links them, seeds may be what makes the difference.
        if not np.allclose(row @ self._estimable, row):
            return Estimate(math.nan, math.nan, self.df, n)
        effect = float(row @ self._fit.params)
        if not self.df:
            return Estimate(effect, math.nan, 0, n)
        variance = float(row @ self._fit.normalized_cov_params @ row)
        return Estimate(effect, self.sd * math.sqrt(max(variance, 0.0)), self.df, n)

    def joint(self, contrasts: np.ndarray, words: list[str]) -> tuple[float, float]:
        """Return F and p of all contrasts being zero.

        Parameters
        ----------
        contrasts: numpy.ndarray
            Linearly independent rows of weights, (contrasts, mechanisms).
        words: list of str
            The mechanisms of the columns.
        """
        rows = np.array([self._row(dict(zip(words, row, strict=True))) for row in contrasts])
        test = self._fit.f_test(rows)
        return float(test.fvalue), float(test.pvalue)

    def _row(self, weights: Mapping[str, float]) -> np.ndarray:
        row = np.zeros(self._design.shape[1])
        for word, weight in weights.items():
            row[self.mechanisms.index(word)] = weight
        return row

    @cached_property
    def spread(self) -> str:
        """Say which mechanism scatters more over seeds than the others do; empty if none does.

        The residual variance without a mechanism against what the mechanism adds, an F test for
        each, corrected after Bonferroni (Russell and Bradley 1958, Biometrika 45, 111). Unlike the
        tests of Levene or Brown and Forsythe it allows for blocks, and works with two seeds. Two
        mechanisms have mirrored residuals, and need no equal variances.
        """
        if len(self.mechanisms) < 3 or not self.df or not self._fit.ssr:
            return ""
        residuals = self._fit.resid
        rest = np.eye(len(residuals)) - self._design @ np.linalg.pinv(self._design)
        found: tuple[float, str, float] | None = None
        for word in self.mechanisms:
            own = (self.runs["mechanism"] == word).to_numpy()
            block = rest[np.ix_(own, own)]
            # What its runs add to the sum of squares, and to the degrees of freedom.
            added = float(residuals[own] @ np.linalg.pinv(block, TOLERANCE) @ residuals[own])
            df = int(np.linalg.matrix_rank(block, TOLERANCE))
            if not 0 < df < self.df:
                continue
            left = max(self._fit.ssr - added, 0.0) / (self.df - df)
            ratio = added / df / left if left else math.inf
            p = len(self.mechanisms) * float(stats.f.sf(ratio, df, self.df - df))
            if found is None or p < found[0]:
                found = p, word, math.sqrt(ratio)
        if found is None or not found[0] < UNEQUAL:
            return ""
        p, word, ratio = found
        return (
            f"{word} scatters {ratio:.1f} times as much over seeds as the others (p = {p:.2g}): "
            "the common residual variance is too small for its comparisons, too large without it"
        )
