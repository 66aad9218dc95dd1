"""Comparisons of mechanisms: seeds as blocks, the scatter of all and of those compared.

The standard error of a contrast is the larger of two: one residual variance for all mechanisms of a
group, and one that takes each run's own residual: HC3 for a contrast of few mechanisms, HC2 for one
of many (MacKinnon and White 1985, J. Econometrics 29, 305). ``docs/statistics.md`` says why. The
differences in tables and figures, effects and verdicts are all contrasts of this one model, so that
they cannot disagree.
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

__all__ = ["REPEATED", "SHARED", "TELLING", "Estimate", "Model", "Shared"]

REPEATED = 2
"""Common seeds without which a difference of two mechanisms has no interval."""

UNEQUAL = 0.01
"""Level of the test for a mechanism that scatters more than the others."""

TOLERANCE = 1e-9
"""Singular values of a projection are 0 to 1; smaller ones than this are rounding."""

ROUNDING = 1e-12
"""Share of the largest value below which a difference is one of rounding."""

FEW = 4
"""Mechanisms up to which a contrast is one of few. In one of many, such as a main effect, unequal
scatter is averaged as in the pooled variance; HC3 would double it with two seeds, HC2 does not."""

SHARED = 0.05
"""Level of the test for luck of a seed that mechanisms of a contrast share."""

TELLING = 3
"""Seeds from which on a contrast of many mechanisms is looked at seed by seed, whatever that test
says: many are taken for replicates of each other, and with few seeds the test may miss luck."""


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
    """What seeds one by one say of a contrast, where that must be looked at.

    Parameters
    ----------
    f, p: float
        Of the test that it differs from seed to seed by no more than the residuals explain.
    df: int
        Degrees of freedom of its numerator; those of its denominator are `rest`.
    rest: int
    estimate: Estimate
        Mean and standard error of the contrast's values, one a seed.
    """

    f: float
    p: float
    df: int
    rest: int
    estimate: Estimate


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
        self._tiny = ROUNDING * float(runs["value"].abs().max())
        sd = math.sqrt(self._fit.ssr / self.df) if self.df else math.nan
        self.sd = 0.0 if sd <= self._tiny else sd
        self._seeds = runs.groupby("mechanism")["seed"].agg(set)
        self._inverse = np.linalg.pinv(self._design)
        self._estimable = self._inverse @ self._design  # onto the design's rows
        free = 1 - np.einsum("ij,ji->i", self._design, self._inverse)
        # A run that nothing else tells about has no residual.
        known = np.where(free > TOLERANCE, free, np.inf)
        self._residuals = {"HC2": self._fit.resid / np.sqrt(known), "HC3": self._fit.resid / known}

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
        if abs(effect) <= self._tiny * sum(map(abs, weights.values())):
            effect = 0.0
        if not self.df:
            return Estimate(effect, math.nan, 0, n)
        variance = float(row @ self._fit.normalized_cov_params @ row)
        pooled = self.sd * math.sqrt(max(variance, 0.0))
        kind = "HC3" if len(weights) <= FEW else "HC2"
        return Estimate(effect, max(pooled, self._own_error(row, kind)), self.df, n)

    def mean(self, word: str) -> Estimate:
        """Estimate the mean of a mechanism's runs, to be looked at beside the other means.

        What a seed does to all mechanisms alike is no part of its error, which is that of a
        contrast of few mechanisms. Its `n` is the number of the mechanism's seeds.
        """
        own = (self.runs["mechanism"] == word).to_numpy()
        n = int(own.sum())
        effect = float(self.runs["value"].to_numpy(dtype=float)[own].mean())
        if not self.df:
            return Estimate(effect, math.nan, 0, n)
        # The fitted mean of a mechanism's runs is their mean: the error is that of n residuals.
        row = self._design[own].mean(axis=0)
        error = max(self.sd / math.sqrt(n), self._own_error(row, "HC3"))
        return Estimate(effect, error, self.df, n)

    def _own_error(self, row: np.ndarray, kind: str) -> float:
        """Return a standard error by the runs' own residuals; 0 where it says nothing.

        Seeds as blocks leave two mechanisms with mirrored residuals. Their contrast is the paired t
        test, which asks for no equal variances.
        """
        if len(self.mechanisms) < 3 or not self.sd:
            return 0.0
        return float(np.linalg.norm((row @ self._inverse) * self._residuals[kind]))

    def own(self, weights: Mapping[str, float], confidence: float) -> tuple[float, float]:
        """Return an interval by the scatter of the mechanisms of a contrast alone.

        Welch's: a variance for each mechanism, and Satterthwaite's degrees of freedom. Seeds are
        adjusted for by all mechanisms of the group. NaN where a mechanism has fewer than two seeds.
        """
        row = self._row(weights)
        share = row @ self._inverse
        variances, freedoms = [], []
        for word in weights:
            mine = (self.runs["mechanism"] == word).to_numpy()
            squares = (share[mine] * self._residuals["HC2"][mine]) ** 2
            variances.append(float(squares.sum()))
            freedoms.append(len(self._seeds[word]) - 1)
        total = sum(variances)
        if not total or min(freedoms) < 1:
            return math.nan, math.nan
        df = total**2 / sum(v**2 / k for v, k in zip(variances, freedoms, strict=True))
        effect = float(row @ self._fit.params)
        reach = float(stats.t.ppf((1 + confidence) / 2, df)) * math.sqrt(total)
        return effect - reach, effect + reach

    def by_seed(self, weights: Mapping[str, float]) -> Estimate:
        """Estimate a contrast from its values in the seeds that all its mechanisms have.

        Right whatever a seed does to some mechanisms alike; without an interval below two seeds.
        """
        table = self.runs[self.runs["mechanism"].isin([*weights])]
        table = table.pivot(index="seed", columns="mechanism", values="value").dropna()
        values = sum(weight * table[word] for word, weight in weights.items()).to_numpy()
        count = len(values)
        effect = float(values.mean()) if count else math.nan
        if count < REPEATED:
            return Estimate(effect, math.nan, 0, count)
        return Estimate(effect, float(values.std(ddof=1)) / math.sqrt(count), count - 1, count)

    def shared(self, weights: Mapping[str, float]) -> Shared | None:
        """Return what seeds one by one say of a contrast, where its mechanisms may share luck.

        A seed may be lucky for all mechanisms with one term. Then those are no replicates of each
        other. The test is the F test of seed x contrast, at a level of `SHARED`.

        Returns
        -------
        Shared or None
            None where nothing points to luck that they share, or where that cannot be told.
        """
        seeds = sorted(set.intersection(*(self._seeds[word] for word in weights)))
        if len(seeds) < REPEATED or not self.sd:
            return None
        weight = self.runs["mechanism"].map(weights).fillna(0.0).to_numpy(dtype=float)
        inside = self.runs["seed"].to_numpy()[:, None] == np.array(seeds)[1:]
        wider = np.hstack([self._design, inside * weight[:, None]])
        fit = OLS(self._fit.model.endog, wider).fit()
        df, rest = self.df - int(fit.df_resid), int(fit.df_resid)
        if not df or not rest or fit.ssr <= self._tiny**2:
            return None
        f = (self._fit.ssr - fit.ssr) / df / (fit.ssr / rest)
        p = float(stats.f.sf(f, df, rest))
        many = len(weights) > FEW and len(seeds) >= TELLING
        if p >= SHARED and not many:
            return None
        return Shared(float(f), p, df, rest, self.by_seed(weights))

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
