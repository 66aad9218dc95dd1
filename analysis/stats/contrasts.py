"""Comparisons of mechanisms: seeds as blocks, one residual variance for all mechanisms of a group.

``docs/statistics.md`` says why. Effects and verdicts are all contrasts of this one model, so that
they cannot disagree.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats
from statsmodels.tools.sm_exceptions import SingularMatrixWarning

from analysis.stats.comparable import by_recipe, finished, mixed, places, stuck_note, title

__all__ = ["POINTS", "Estimate", "Group", "Model", "cautions", "groups", "number", "spreads"]

POINTS = {"mAP": 0.01, "mIoU": 0.01}
"""What people call a point of a metric: 0.01 of a fraction; 1 of every metric not listed."""

UNEQUAL = 0.01
"""Level of the test for a mechanism that scatters more than the others."""

TOLERANCE = 1e-9
"""Smaller singular values of a projection, whose are 0 to 1, are rounding."""


@dataclass(frozen=True)
class Group:
    """Finished runs that may be compared: they differ in mechanism and seed alone.

    Parameters
    ----------
    task, data, sites, metric: str
        `sites` joined by dots.
    variant: str
        The recipe's entries that tell it from other groups of the same task and data.
    runs: pandas.DataFrame
        Completed runs, each mechanism at most once a seed.
    """

    task: str
    data: str
    sites: str
    variant: str
    metric: str
    runs: pd.DataFrame = field(repr=False)

    @property
    def title(self) -> str:
        """Task, data, sites and variant on one line."""
        return title(self.task, self.data, self.sites, self.variant)

    @property
    def cards(self) -> list[str]:
        """The data cards."""
        return sorted(set(self.runs["data_card"].dropna()))

    @cached_property
    def means(self) -> pd.DataFrame:
        """Means over seeds, by mechanism: ``value``, ``untrained`` and the MACs."""
        columns = ["value", "untrained", "mechanism_macs", "model_macs"]
        return self.runs.groupby("mechanism", sort=True)[columns].mean()

    @cached_property
    def seeds(self) -> dict[str, int]:
        """How many seeds each mechanism has."""
        return {str(word): int(n) for word, n in self.runs["mechanism"].value_counts().items()}


def groups(frame: pd.DataFrame) -> list[Group]:
    """Split a frame of `analysis.runs.collect` as the tables do; what has not finished is left out.

    Raises
    ------
    StudyError
        If two runs fill the same cell, or runs of one group name different metrics.
    """
    found = []
    for task, data, variant, runs in by_recipe(frame):
        for sites in places(runs):
            there = runs[runs["sites"].isin([sites, ""])]
            done, metric = finished(there, f"{task} on {data}")
            if len(done):
                found.append(Group(task, data, sites, variant, metric, done))
    return found


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
            self._fit = sm.OLS(runs["value"].to_numpy(dtype=float), self._design).fit()
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
        # Without a chain of common seeds the difference is one of seeds as much as of mechanisms.
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
            # Without its runs the sum of squares would be less by this, on so many degrees fewer.
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


def spreads(found: Iterable[Group]) -> list[str]:
    """Say of each group in which a mechanism scatters more than the others which one does."""
    spread = ((group.title, Model(group.runs).spread) for group in found)
    return [f"{title}: {words}" for title, words in spread if words]


def cautions(found: Iterable[Group]) -> list[str]:
    """Say of each group what its comparisons must be read with.

    Data or code that differ between runs, runs that learned nothing, a mechanism that scatters
    more than the others.
    """
    notes = []
    for group in found:
        notes += [f"{group.title}: {words}" for words in mixed(group.runs)]
        notes += [f"{group.title}: {words}" for words in stuck_note(group.runs)]
        notes += spreads([group])
    return notes


def number(value: float, metric: str, sign: str = "+") -> str:
    """Print a value of a metric: a hundredth of a point is the last digit."""
    return f"{value:{sign}.{2 if POINTS.get(metric, 1.0) == 1.0 else 4}f}"
