"""What other test items would change, what other seeds would, and what both.

Seeds tell how training scatters, on one test set. From what runs keep of each test item, their
metric is calculated on samples of the test set, the same sample for all runs: the paired bootstrap
(Koehn 2004, EMNLP). ``docs/statistics.md`` says which question each interval answers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.items import Resampled, counting, resampled
from analysis.stats import notes as told
from analysis.stats.estimate import REPEATED
from analysis.stats.group import Group
from analysis.stats.means import CONFIDENCE
from analysis.stats.model import ROUNDING
from study.runs.folder import RunFolder

__all__ = ["COMPONENTS", "Spread", "components", "spread"]

COMPONENTS = ("seeds", "items", "mixed")
"""Of a variance: other seeds, other test items, and what a seed does to single items."""


@dataclass(frozen=True, eq=False)
class Spread:
    """A group whose runs kept what their metric is made of.

    Parameters
    ----------
    group: Group
        Of the runs in `sampled` alone.
    sampled: Resampled
        Their metric on samples of the test set.
    """

    group: Group
    sampled: Resampled

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row a mechanism, the baseline first.

        ``mechanism``, ``n`` (seeds), ``mean`` of the metric, ``difference`` to the baseline,
        ``pairs`` (seeds that both have); ``low`` and ``high`` of 95 % intervals of the difference,
        ``items_`` for other test items, ``seeds_`` for other seeds, ``both_`` for both; ``p`` of no
        difference for other test items. Missing numbers are NaN.
        """
        group = self.group
        words = [word for word in group.rows["mechanism"] if word in group.seeds]
        rows = [
            {"mechanism": word, "n": group.seeds[word], "mean": group.means["mean"][word]}
            | self._difference(word)
            for word in words
        ]
        return pd.DataFrame(rows)

    def _difference(self, word: str) -> dict[str, float]:
        """Return what a row says of the difference to the baseline."""
        baseline, count = self.group.baseline, self.sampled.count
        over_seeds = self.group.difference(word, baseline)
        over_items = replace(over_seeds, error=math.nan, df=0)
        both = math.nan
        if word != baseline and not math.isnan(over_seeds.effect):
            share = self.group.model.shares({word: 1.0, str(baseline): -1.0})
            drawn = share @ self.sampled.draws
            error = self._root(float(drawn.var(ddof=1)) * count / (count - 1))
            over_items = replace(over_seeds, error=error, df=count - 1)
        reach = over_items.half_width(CONFIDENCE), over_seeds.half_width(CONFIDENCE)
        if not any(map(math.isnan, reach)):
            # The scatter of seeds on one test set has what a seed does to single items already.
            shared = self._root(self._components(word, str(baseline))[1])
            alike = replace(over_items, error=shared)
            both = max(math.hypot(alike.half_width(CONFIDENCE), reach[1]), reach[0])
        effect = over_seeds.effect
        found = {"difference": effect, "pairs": over_seeds.n}
        for whose, width in zip(("items", "seeds", "both"), (*reach, both), strict=True):
            found |= {f"{whose}_low": effect - width, f"{whose}_high": effect + width}
        return found | {"p": over_items.p}

    def _root(self, variance: float) -> float:
        """Return a standard deviation; 0 where it is of rounding alone."""
        tiny = ROUNDING * float(self.group.done["value"].abs().max())
        return math.sqrt(variance) if variance > tiny**2 else 0.0

    @cached_property
    def split(self) -> pd.DataFrame:
        """What the variance of one run's value consists of, and that of a difference of two runs.

        Index ``value`` and ``difference``, of two mechanisms with one seed; columns `COMPONENTS`,
        as standard deviations. The variances are means over the mechanisms, and over all pairs of
        them. With one seed, ``items`` has ``mixed``, and the others are NaN.
        """
        words = [*self.group.seeds]
        parts: dict[str, list[tuple[str, ...]]] = {
            "value": [(word,) for word in words],
            "difference": [*itertools.combinations(words, 2)],
        }
        found = {name: self._mean(compared) for name, compared in parts.items()}
        return pd.DataFrame(found, index=COMPONENTS).T

    def _mean(self, compared: list[tuple[str, ...]]) -> np.ndarray:
        each = [(self._seeds(*words), self._components(*words)) for words in compared]
        most = max((len(seeds) for seeds, _ in each), default=0)
        # Where seeds can be told from items, what cannot tell them is no part of the mean.
        least = REPEATED if most >= REPEATED else 1
        known = [(len(seeds), variances) for seeds, variances in each if len(seeds) >= least]
        if not known:
            return np.full(len(COMPONENTS), math.nan)
        counts, variances = zip(*known, strict=True)
        weights = np.maximum(np.array(counts) - 1, 1)  # degrees of freedom
        mean = np.average(variances, axis=0, weights=weights)
        return np.sqrt(np.maximum(mean, 0.0))  # an estimate near zero may be below

    def _components(self, *words: str) -> np.ndarray:
        """Return the variances of the value of a mechanism, or of the first minus the second."""
        seeds = self._seeds(*words)
        places = [[self._places[word, seed] for seed in seeds] for word in words]
        values = self.group.done["value"].to_numpy(dtype=float)
        first, *others = places
        value, drawn = values[first], self.sampled.draws[first]
        for other in others:
            value, drawn = value - values[other], drawn - self.sampled.draws[other]
        return components(value, drawn, self.sampled.count)

    def _seeds(self, *words: str) -> list[int]:
        """Return the seeds that mechanisms have in common."""
        each = [{seed for word, seed in self._places if word == wanted} for wanted in words]
        return sorted(set.intersection(*each))

    @cached_property
    def _places(self) -> dict[tuple[str, int], int]:
        done = self.group.done
        keys = zip(done["mechanism"], done["seed"], strict=True)
        return {key: place for place, key in enumerate(keys)}

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know, a sentence each, the data cards first."""
        group, sampled = self.group, self.sampled
        found = [f"data: {card}" for card in group.cards] + told.direction(group.metric)
        found.append(
            f"{sampled.count} test items, {sampled.draws.shape[1]} samples of them, each the same "
            "for all runs"
        )
        if group.baseline in group.seeds:
            found.append(
                f"95 % intervals of Δ {group.baseline}: over items, for another test set of this "
                "size and these trainings; over seeds, for other trainings and this test set, as "
                "in study table; over both; p: of no difference on other test items"
            )
        else:
            found.append(
                f"no run of {group.baseline} here, which differences are to; --baseline WORD names "
                "another mechanism"
            )
        if self.split["seeds"].isna().all():
            found.append(
                "one seed: nothing is known of other trainings, and what a seed does to single "
                "items counts as theirs"
            )
        else:
            found.append(
                "standard deviations of one run, and of two runs with the same seed; of means over "
                "n seeds those of seeds and seeds × items are √n times smaller, that of test items "
                "is not"
            )
        found += group.cautions + told.missing(group.asked, group.runs)
        return [*found, *sampled.remarks]


def components(values: np.ndarray, draws: np.ndarray, count: int) -> np.ndarray:
    """Return the variances of a value that seeds, test items and both together make.

    On samples of the test set, what items do to all seeds alike is the covariance of two seeds.
    What they do to one seed alone is the rest of its variance, and is in the scatter of seeds on
    one test set too.

    Parameters
    ----------
    values: numpy.ndarray
        On the test set, (seeds,).
    draws: numpy.ndarray
        On samples of it, (seeds, samples).
    count: int
        Items of the test set.

    Returns
    -------
    numpy.ndarray
        In the order of `COMPONENTS`, unbiased, so that one may be below zero. With one seed, items
        and both together stand as ``items``, and the others are NaN.
    """
    n = len(values)
    if not n:
        return np.full(len(COMPONENTS), math.nan)
    covariances = np.atleast_2d(np.cov(draws)) * count / (count - 1)
    single = float(np.trace(covariances)) / n
    if n < REPEATED:
        return np.array([math.nan, single, math.nan])
    items = float(covariances.sum() - n * single) / (n * (n - 1))
    mixed = single - items
    return np.array([float(values.var(ddof=1)) - mixed, items, mixed])


def spread(group: Group, folders: Mapping[str, RunFolder]) -> Spread:
    """Return what test items and seeds make in a group.

    Parameters
    ----------
    group: Group
        With finished runs.
    folders: mapping of str to RunFolder
        By the id of the run.

    Raises
    ------
    StudyError
        If its task keeps no statistics of test items, or its runs kept none.
    """
    sampled = resampled(group.done, folders, counting(group.task), group.metric)
    left: Any = group.done.index.difference(sampled.runs.index)
    return Spread(replace(group, runs=group.runs.drop(left)), sampled)
