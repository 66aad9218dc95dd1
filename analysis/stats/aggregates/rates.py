"""How often the intervals of aggregates hold, in simulated tables of a known truth.

Each group has 16 term sets and ``none``; ``docs/statistics.md`` shows the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.stats.aggregates.gains import combined
from analysis.stats.aggregates.improvement import improvement
from analysis.stats.aggregates.ranks import ranks
from analysis.stats.effects import TERM_SETS
from analysis.stats.estimate import Estimate
from analysis.stats.means import CONFIDENCE
from analysis.stats.model import Model

__all__ = ["TESTS", "WORLDS", "measure", "rates"]

WORDS = ("none", *TERM_SETS)
WORD = "1111"
SD = 0.45

WORLDS = {"all scatter alike": 1.0, f"{WORD} scatters 4 times as much": 4.0}
"""How much `WORD` scatters, in units of the others' scatter."""


class Pooled(Model):
    """The model with one residual variance for all, of a table without gaps."""

    def contrast(self, weights: Mapping[str, float]) -> Estimate:
        """Estimate the sum of weight times mean over mechanisms."""
        found = super().contrast(weights)
        size = math.sqrt(sum(weight**2 for weight in weights.values()) / found.n)
        return replace(found, error=self.sd * size)

    def by_seed(self, weights: Mapping[str, float]) -> Estimate:
        """Return the same, whose error is not that of single seeds."""
        return self.contrast(weights)


def _gain(models: Sequence[Model], scatter: float) -> np.ndarray:
    found = [model.contrast({WORD: 1.0, "none": -1.0}) for model in models]
    _, low, high = combined(found, [[place] for place in range(len(found))], CONFIDENCE)
    truth = sum(GROUPS) / len(GROUPS)
    return (low <= truth) & (truth <= high)


def _improvement(models: Sequence[Model], scatter: float) -> np.ndarray:
    truth = float(stats.norm.cdf(2 / math.hypot(1, scatter)))
    _, low, high = improvement(models[0], WORD, "none", 1, CONFIDENCE)
    return (low <= truth) & (truth <= high)


def _ranks(models: Sequence[Model], scatter: float) -> np.ndarray:
    _, low, high = ranks(models[0], WORDS, 1, CONFIDENCE)
    return (low == 1).all(axis=0) & (high == len(WORDS)).all(axis=0)


GROUPS = {0.0: 0.3, 1.0: 0.45, 2.0: 0.6}

TESTS: dict[str, tuple[Mapping[float, float], Callable[[Sequence[Model], float], np.ndarray]]] = {
    "mean gain over three groups": (GROUPS, _gain),
    "chance of an improvement, gain of 2 sd": ({2 * SD: SD}, _improvement),
    "all ranks at once, all equal": ({0.0: SD}, _ranks),
}
"""True gains of `WORD` over ``none`` with the scatter over seeds, by group; and what must hold."""


def measure(
    tables: int, tell: Callable[[str], None] = lambda line: None, seeds: Sequence[int] = (2, 3, 5)
) -> Iterator[dict[str, Any]]:
    """Yield a row for each interval, world and number of seeds, like those of verdicts.

    Parameters
    ----------
    tables: int
        How many are simulated for each row.
    tell: callable
        Told what is being done.
    seeds: sequence of int
        Numbers of seeds.
    """
    for test in TESTS:
        for world in WORLDS:
            for n in seeds:
                tell(f"{test}: {world}, {n} seeds")
                now, before = rates(test, world, n, tables)
                yield {
                    "world": world,
                    "test": test,
                    "verdict": "within the interval",
                    "is": "right",
                    "seeds": n,
                    "tables": tables,
                    "rate": round(now, 4),
                    "pooled": round(before, 4),
                }


def rates(test: str, world: str, seeds: int, tables: int) -> tuple[float, float]:
    """Return how often the truth is within the interval, ours and by the pooled error alone."""
    rng = np.random.default_rng([seeds, tables])
    frame = pd.DataFrame(
        {"mechanism": np.repeat(WORDS, seeds), "seed": np.tile(np.arange(seeds), len(WORDS))}
    )
    own = (frame["mechanism"] == WORD).to_numpy()[:, None]
    scatter = WORLDS[world]
    groups, holds = TESTS[test]
    drawn = [
        20 + gain * own + rng.normal(0, sd, (len(frame), tables)) * np.where(own, scatter, 1.0)
        for gain, sd in groups.items()
    ]
    now, before = (
        holds([kind(frame, values) for values in drawn], scatter).mean() for kind in (Model, Pooled)
    )
    return float(now), float(before)
