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
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.stats.estimate import REPEATED, Estimate, Shared

__all__ = ["ROUNDING", "SHARED", "TELLING", "Model"]

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

TERM_SET = re.compile(r"[01]{4}")


class Model:
    """Least squares of value on mechanism and seed, additive; seeds are blocks.

    With two mechanisms its contrast is the paired t test. Seeds that not all mechanisms have are
    adjusted for; a seed that one mechanism has alone tells nothing about differences.

    Parameters
    ----------
    runs: pandas.DataFrame
        With the columns ``mechanism``, ``seed`` and ``value``; each cell at most once.
    values: numpy.ndarray, optional
        Instead of the column ``value``, (runs, tables): many tables of the same runs at once, for
        simulations. `sd` and the numbers of estimates are then arrays, one a table.
    """

    def __init__(self, runs: pd.DataFrame, values: np.ndarray | None = None) -> None:
        self.runs = runs
        self._values = runs["value"].to_numpy(dtype=float) if values is None else values
        self.mechanisms = sorted(set(runs["mechanism"]))
        own = runs["mechanism"].to_numpy()[:, None] == np.array(self.mechanisms)
        seeds = np.array(sorted(set(runs["seed"])))
        blocks = runs["seed"].to_numpy()[:, None] == seeds
        # Row of each cell's run, (mechanisms, seeds); -1 without one.
        self._cells = np.full((len(self.mechanisms), len(seeds)), -1)
        self._cells[own.argmax(1), blocks.argmax(1)] = np.arange(len(runs))
        self._design = np.hstack([own, blocks[:, 1:]]).astype(float)
        self._inverse = np.linalg.pinv(self._design)
        self._estimable = self._inverse @ self._design  # onto the design's rows
        self.df = len(runs) - int(np.linalg.matrix_rank(self._design))
        self._means = self._inverse @ self._values
        self._resid = self._values - self._design @ self._means
        self._ssr = (self._resid**2).sum(0)
        self._tiny = ROUNDING * abs(self._values).max(0)
        sd = np.sqrt(self._ssr / self.df) if self.df else self._ssr * math.nan
        self.sd: Any = np.where(sd <= self._tiny, 0.0, sd)[()]

    @cached_property
    def _free(self) -> np.ndarray:
        """Share of each run that the others do not tell, (runs,); infinite where they tell nothing.

        A run that nothing else tells about has no residual.
        """
        free = 1 - np.einsum("ij,ji->i", self._design, self._inverse)
        return np.where(free > TOLERANCE, free, np.inf)

    def contrast(self, weights: Mapping[str, float]) -> Estimate:
        """Estimate the sum of weight times mean over mechanisms.

        Parameters
        ----------
        weights: mapping of str to float
            Of mechanisms that have runs; they sum to zero.
        """
        row = self._row(weights)
        pairs = itertools.combinations(self._there(weights), 2)
        n = min(int((one & other).sum()) for one, other in pairs)
        # Where no chain of common seeds links them, seeds may be what makes the difference.
        if not np.allclose(row @ self._estimable, row):
            return Estimate(math.nan, math.nan, self.df, n)
        effect: Any = row @ self._means
        rounding = abs(effect) <= self._tiny * sum(map(abs, weights.values()))
        effect = np.where(rounding, 0.0, effect)[()]
        if not self.df:
            return Estimate(effect, math.nan, 0, n)
        share = row @ self._inverse
        pooled = self.sd * np.linalg.norm(share)
        error: Any = np.maximum(pooled, self._own_error(share, len(weights)))
        return Estimate(effect, error, self.df, n)

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
        share = self._design[own].mean(axis=0) @ self._inverse
        error = max(float(self.sd) / math.sqrt(n), float(self._own_error(share, 1)))
        return Estimate(effect, error, self.df, n)

    def _own_error(self, share: np.ndarray, mechanisms: int) -> Any:
        """Return a standard error by the runs' own residuals; 0 where it says nothing.

        Seeds as blocks leave two mechanisms with mirrored residuals. Their contrast is the paired t
        test, which asks for no equal variances.
        """
        if len(self.mechanisms) < 3:
            return 0.0
        known = self._free if mechanisms <= FEW else np.sqrt(self._free)  # HC3, HC2
        squares = (share / known) ** 2 @ self._resid**2
        return np.sqrt(squares) * (self.sd > 0)

    def shares(self, weights: Mapping[str, float]) -> np.ndarray:
        """Return how much of the value of each run a contrast has, in the order of `runs`."""
        return self._row(weights) @ self._inverse

    def own(self, weights: Mapping[str, float], confidence: float) -> tuple[float, float]:
        """Return an interval by the scatter of the mechanisms of a contrast alone.

        Welch's: a variance for each mechanism, and Satterthwaite's degrees of freedom. Seeds are
        adjusted for by all mechanisms of the group, so that in a group of three the third one's
        scatter has a part in it; in one of seventeen hardly. NaN where a mechanism has fewer than
        two seeds.
        """
        row = self._row(weights)
        squares = (row @ self._inverse) ** 2 / self._free * self._resid**2
        cells = [self._cells[self.mechanisms.index(word)] for word in weights]
        rows = [own[own >= 0] for own in cells]
        variances = [float(squares[own].sum()) for own in rows]
        freedoms = [len(own) - 1 for own in rows]
        total = sum(variances)
        if not total or min(freedoms) < 1:
            return math.nan, math.nan
        df = total**2 / sum(v**2 / k for v, k in zip(variances, freedoms, strict=True))
        effect = float(row @ self._means)
        reach = float(stats.t.ppf((1 + confidence) / 2, df)) * math.sqrt(total)
        return effect - reach, effect + reach

    def by_seed(self, weights: Mapping[str, float]) -> Estimate:
        """Estimate a contrast from its values in the seeds that all its mechanisms have.

        Right whatever a seed does to some mechanisms alike; without an interval below two seeds.
        """
        common = np.all(self._there(weights), axis=0)
        cells = self._cells[[self.mechanisms.index(word) for word in weights]][:, common]
        count = cells.shape[1]
        values = sum(w * self._values[own] for w, own in zip(weights.values(), cells, strict=True))
        effect = np.mean(values, axis=0) if count else math.nan
        if count < REPEATED:
            return Estimate(effect, math.nan, 0, count)
        error = np.std(values, axis=0, ddof=1) / math.sqrt(count)
        return Estimate(effect, error, count - 1, count)

    def shared(self, weights: Mapping[str, float]) -> Shared | None:
        """Return what seeds one by one say of a contrast, whose mechanisms may share luck.

        A seed may be lucky for all mechanisms with one term, or with deformable convolution. Then
        those are no replicates of each other, and the scatter of all tells too little about a
        difference by that trait. The tests are the F tests of seed x contrast and of seed x trait,
        for the traits that the contrast switches on or off, together at twice `SHARED` at most.

        Returns
        -------
        Shared or None
            None where it cannot be told, and need not be.
        """
        there = self._there(weights)
        many = len(weights) > FEW and np.any(there, axis=0).sum() >= TELLING
        beside = self.by_seed(weights)
        own = self._interaction(weights, np.all(there, axis=0))
        if own is None:
            return Shared(math.nan, math.nan, 0, 0, beside, many) if many else None
        f, p, df, rest = own
        asked = (p < SHARED) | many
        switched = [
            trait
            for trait in self._traits
            if abs(sum(w for word, w in weights.items() if trait in _traits(word))) > TOLERANCE
        ]
        lucky = []
        for trait in switched:
            differs = self._traits[trait] < SHARED / len(switched)
            asked = asked | differs
            lucky += [trait] * bool(np.any(differs))
        return Shared(f, p, df, rest, beside, asked & ~np.isnan(p), tuple(lucky))

    @cached_property
    def _traits(self) -> dict[str, Any]:
        """p of the tests of seed x trait, of what several mechanisms have and several have not."""
        seeds = np.full(self._cells.shape[1], True)
        found = {}
        for trait in sorted(set().union(*map(_traits, self.mechanisms))):
            has = {word: 1.0 for word in self.mechanisms if trait in _traits(word)}
            if 1 < len(has) < len(self.mechanisms) - 1 and (test := self._interaction(has, seeds)):
                found[trait] = test[1]
        return found

    def _interaction(
        self, weights: Mapping[str, float], which: np.ndarray
    ) -> tuple[Any, Any, int, int] | None:
        """Return F, p and degrees of freedom of seed x contrast in these seeds, (seeds,) of bool.

        None where too few runs tell; F and p are NaN where no run scatters.
        """
        seeds = np.flatnonzero(which)
        if len(seeds) < REPEATED:
            return None
        weight = self.runs["mechanism"].map(weights).fillna(0.0).to_numpy(dtype=float)
        inside = np.zeros((len(self.runs), len(seeds) - 1))
        for place, seed in enumerate(seeds[1:]):
            rows = self._cells[:, seed]
            inside[rows[rows >= 0], place] = weight[rows[rows >= 0]]
        # What seed x contrast adds to the design.
        inside -= self._design @ (self._inverse @ inside)
        basis, sizes, _ = np.linalg.svd(inside, full_matrices=False)
        basis = basis[:, sizes > TOLERANCE]
        df = basis.shape[1]
        rest = self.df - df
        if not df or not rest:
            return None
        explained = basis.T @ self._resid
        left = ((self._resid - basis @ explained) ** 2).sum(0)
        told = (self.sd > 0) & (left > self._tiny**2)
        with np.errstate(divide="ignore", invalid="ignore"):
            f: Any = np.where(told, (explained**2).sum(0) / df / (left / rest), math.nan)[()]
        return f, stats.f.sf(f, df, rest), df, rest

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
        shares, effects = rows @ self._inverse, rows @ self._means
        f = float(effects @ np.linalg.solve(shares @ shares.T, effects)) / len(rows) / self.sd**2
        return f, float(stats.f.sf(f, len(rows), self.df))

    def _there(self, words: Iterable[str]) -> np.ndarray:
        """Which seeds mechanisms have, (mechanisms, seeds)."""
        return self._cells[[self.mechanisms.index(word) for word in words]] >= 0

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
        if len(self.mechanisms) < 3 or not self.df or not self._ssr:
            return ""
        residuals = self._resid
        rest = np.eye(len(residuals)) - self._design @ self._inverse
        found: tuple[float, str, float] | None = None
        for word in self.mechanisms:
            own = (self.runs["mechanism"] == word).to_numpy()
            block = rest[np.ix_(own, own)]
            # What its runs add to the sum of squares, and to the degrees of freedom.
            added = float(residuals[own] @ np.linalg.pinv(block, TOLERANCE) @ residuals[own])
            df = int(np.linalg.matrix_rank(block, TOLERANCE))
            if not 0 < df < self.df:
                continue
            left = max(self._ssr - added, 0.0) / (self.df - df)
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


def _traits(word: str) -> frozenset[str]:
    """Return what a mechanism may share with others: its terms, and its parts without options."""
    found: set[str] = set()
    for part in word.split("+"):
        name = re.split("[@:]", part)[0]
        if TERM_SET.fullmatch(name):
            found |= {f"E{place}" for place, bit in enumerate(name, 1) if bit == "1"}
        elif name != "none":
            found.add(name)
    return frozenset(found)
