"""What runs can tell: how often claims are supported, and how large an effect must be to be seen.

Simulated: tables of nothing but noise are judged by the code that judges runs, with a true effect
added to each contrast. An estimate is its truth plus what the noise says, so the noise need be
fitted once. ``docs/statistics.md`` has the definitions.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.stats.estimate import Estimate, Shared
from analysis.stats.group import Group
from analysis.stats.model import Model
from analysis.stats.readings import Contrast
from analysis.stats.verdicts import POWER, Kind, decided
from plugins.contracts.metric import Metric

__all__ = ["TABLES", "Noise", "detectable", "in_deviations", "seen"]

TABLES = 2000
"""Simulated for each number of seeds: a chance of 80 % then has a standard error of 0.9 points."""

MANY = 4000
"""Simulated for `detectable`."""

AT_LEAST = POWER + 0.015
"""Of so many tables, so that the chance itself is at least `POWER`: two standard errors more."""

FAR = 1e6
"""In standard deviations over seeds: an effect that is not seen at this size never is."""

STEPS = 50  # halvings of that, to a millionth of a standard deviation

GAIN = Metric("")
"""Noise has no direction, so a gain is taken to be above zero."""

Key = tuple[Kind, tuple[tuple[str, float], ...]]
"""What `detectable` depends on of a test."""


class Noise:
    """Tables of runs that differ by chance alone, all with a standard deviation of 1.

    Parameters
    ----------
    cells: pandas.DataFrame
        The runs, with the columns ``mechanism`` and ``seed``.
    tables: int
        How many.
    stream: int
        Other numbers give other tables.
    """

    def __init__(self, cells: pd.DataFrame, tables: int = TABLES, stream: int = 0) -> None:
        rng = np.random.default_rng([len(cells), tables, stream])
        self.tables = tables
        self.model = Model(cells, rng.normal(0, 1, (len(cells), tables)))
        self._seen: dict[tuple[tuple[str, float], ...], tuple[Estimate, Shared | None]] = {}

    def decided(
        self, kind: Kind, weights: Mapping[str, float], truth: Any, margin: float, tests: int
    ) -> tuple[Any, Any]:
        """Tell in which tables a contrast is called supported, and in which contradicted.

        Parameters
        ----------
        kind: str
            Which region the claim names.
        weights: mapping of str to float
            The contrast.
        truth: float or numpy.ndarray
            Its true value, in standard deviations; above zero is a gain.
        margin: float
            In the same units.
        tests: int
            Tests of the claim.
        """
        key = tuple(weights.items())
        if key not in self._seen:
            self._seen[key] = self.model.contrast(weights), self.model.shared(weights)
        estimate, shared = self._seen[key]
        if shared is not None:
            shared = replace(shared, estimate=_moved(shared.estimate, truth))
        return decided(kind, _moved(estimate, truth), margin, GAIN, tests, shared)

    def supported(self, tests: Sequence[Contrast], sd: float, beyond: Any) -> Any:
        """Tell in which tables all tests of a claim are called supported.

        Parameters
        ----------
        tests: sequence of Contrast
            Equivalences hold exactly; each other contrast lies inside its region.
        sd: float
            Standard deviation over seeds, in units of the metric.
        beyond: float or numpy.ndarray
            How far inside it lies, in the same units.
        """
        each = np.full(self.tables, True)
        for test in tests:
            margin = test.margin / sd
            truth = np.zeros(self.tables)
            if test.kind != "equivalent":
                truth = truth + beyond / sd + (margin if test.kind == "greater" else -margin)
            each = each & self.decided(test.kind, test.weights, truth, margin, len(tests))[0]
        return each

    def refuted(self, test: Contrast, tests: int, sd: float, beyond: Any) -> Any:
        """Tell in which tables a test alone contradicts its claim, as far beyond its bound."""
        margin = test.margin / sd
        edge = margin if test.kind == "greater" else -margin
        return self.decided(test.kind, test.weights, edge - beyond / sd, margin, tests)[1]


def seen(holds: Callable[[np.ndarray], Any], tables: int, sd: float = 1.0) -> np.ndarray:
    """Return from which size on an effect is seen in each table; infinite where it never is.

    Parameters
    ----------
    holds: callable
        Tells of sizes, one a table, in which tables they are seen.
    tables: int
        How many.
    sd: float
        Standard deviation over seeds, in the unit of the sizes.
    """
    low: Any = np.full(tables, -FAR * sd)
    high: Any = np.full(tables, FAR * sd)
    never = np.logical_not(holds(high))
    for _ in range(STEPS):
        middle = (low + high) / 2
        there = holds(middle)
        low, high = np.where(there, low, middle), np.where(there, middle, high)
    return np.where(never, math.inf, high)


def detectable(group: Group, tests: Sequence[Contrast]) -> float:
    """Return how far from the edge of a claim an effect must lie to be seen with a chance of 80 %.

    In a repetition with other seeds, if all mechanisms scatter alike: the claim is called
    contradicted if any one contrast lies as far on the wrong side; and supported if all lie as far
    inside, but for equivalences, which an effect can only refute. In units of the metric; NaN where
    no size is ever seen.
    """
    if not tests or not group.model.df:
        return math.nan
    return in_deviations(group, tests) * float(group.model.sd)


def in_deviations(group: Group, tests: Sequence[Contrast]) -> float:
    """Return `detectable` in residual standard deviations of the runs."""
    cells = tuple(zip(group.done["mechanism"], group.done["seed"], strict=True))
    return _factor(cells, tuple((test.kind, tuple(test.weights.items())) for test in tests))


@functools.lru_cache(maxsize=1024)
def _factor(cells: tuple[tuple[str, int], ...], keys: tuple[Key, ...]) -> float:
    noise, count = _noise(cells), len(keys)
    tests = [Contrast(kind, dict(weights), 0.0, None, "") for kind, weights in keys]
    gains = [test for test in tests if test.kind != "equivalent"]
    sizes = [
        seen(functools.partial(noise.refuted, test, count, 1.0), noise.tables) for test in tests
    ]
    if gains:
        sizes.append(seen(functools.partial(noise.supported, gains, 1.0), noise.tables))
    # The scatter is estimated from the runs at hand, and the effect is seen in others.
    estimated = np.roll(noise.model.sd, 1)
    largest = max(np.quantile(each / estimated, AT_LEAST, method="higher") for each in sizes)
    return float(largest) if math.isfinite(largest) else math.nan


@functools.lru_cache(maxsize=4)
def _noise(cells: tuple[tuple[str, int], ...]) -> Noise:
    return Noise(pd.DataFrame(cells, columns=["mechanism", "seed"]), MANY)


def _moved(estimate: Estimate, truth: Any) -> Estimate:
    return replace(estimate, effect=estimate.effect + truth)
