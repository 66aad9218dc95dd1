"""Metrics of test items, and runs that kept these, with known truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace

import numpy as np
from worlds import world

from analysis.runs.items import resampled, samples
from analysis.stats.group import groups
from analysis.stats.items import Spread
from plugins.contracts.items import CountsItems


class Mean(CountsItems):
    """A metric that is a mean over items, such as accuracy."""

    def value_of_items(self, items, weights):
        return weights @ items["value"] / weights.sum(axis=1)


class Ratio(CountsItems):
    """A metric of the whole test set: a sum over another, such as IoU."""

    def value_of_items(self, items, weights):
        return weights @ items["part"] / (weights @ items["whole"])


def kept(values, **more):
    """What a run has in its folder."""
    return SimpleNamespace(items={"item": np.arange(len(values)), "value": values, **more})


def planted(
    means: Mapping[str, float],
    rng: np.random.Generator,
    *,
    seeds: int,
    count: int,
    items: float = 0.0,
    luck: float = 0.0,
    mixed: float = 0.0,
):
    """Runs whose values scatter by known standard deviations, and the folders by id.

    Those of one value on a test set of `count` items: `luck` of seeds, `items`, and `mixed`, what a
    seed does to single items.

    Returns
    -------
    pandas.DataFrame, dict, numpy.ndarray, numpy.ndarray
        Runs table, folders, and what seeds and what test items added, (mechanisms, seeds) and
        (mechanisms,).
    """
    shape = len(means), seeds, count
    drawn = rng.normal(0, items * count**0.5, (shape[0], 1, count))
    lucky = rng.normal(0, luck, (*shape[:2], 1))
    values = np.array([*means.values()])[:, None, None] + drawn + lucky
    values = values + rng.normal(0, mixed * count**0.5, shape)
    frame = world(means, seeds=seeds)
    frame["value"] = values.mean(axis=2).ravel()
    each = values.reshape(-1, count)
    folders = {name: kept(own) for name, own in zip(frame["id"], each, strict=True)}
    return frame, folders, lucky[..., 0], drawn.mean(axis=(1, 2))


def spread_of(frame, folders, baseline, task: CountsItems | None = None):
    """The spread of the one group of a frame."""
    (group,) = groups(frame, baseline)
    return Spread(group, resampled(group.done, folders, task or Mean(), group.metric))


def covered(row, whose: str, truth: float) -> bool:
    """Whether an interval of a row has the truth in it."""
    return bool(row[f"{whose}_low"] <= truth <= row[f"{whose}_high"])


COVERED = ("items", "seeds", "both", "seeds for both", "items for both")


def coverage(
    words: Sequence[str], seeds: int, count: int, tables: int, items=1.0, luck=1.0, mixed=0.5
) -> dict[str, float]:
    """How often intervals of the difference of the first two mechanisms have the truth in them.

    There is no difference. Trainings that are fixed differ by the luck of their seeds, fixed items
    by what they add. The last two are about the truth itself, of which one interval does not tell.
    """
    rng = np.random.default_rng([seeds, count, tables])
    counts = np.zeros(len(COVERED))
    baseline, other = words[:2]
    for _ in range(tables):
        means = dict.fromkeys(words, 20.0)
        frame, folders, lucky, added = planted(
            means, rng, seeds=seeds, count=count, items=items, luck=luck, mixed=mixed
        )
        rows = spread_of(frame, folders, baseline).rows.set_index("mechanism")
        row = rows.loc[other]
        counts += [
            covered(row, "items", lucky[1].mean() - lucky[0].mean()),
            covered(row, "seeds", added[1] - added[0]),
            covered(row, "both", 0.0),
            covered(row, "seeds", 0.0),
            covered(row, "items", 0.0),
        ]
    return dict(zip(COVERED, counts / tables, strict=True))


def rejecting(seeds: int, studies: int, paired: bool) -> float:
    """How often quantiles of resampled seeds exclude a difference of 0 where it is the truth."""
    rng = np.random.default_rng(seeds)
    rejected = 0
    for _ in range(studies):
        mine, other = rng.normal(size=(2, seeds))
        drawn, again = rng.integers(seeds, size=(2, 1000, seeds))
        again = drawn if paired else again
        means = mine[drawn].mean(axis=1) - other[again].mean(axis=1)
        low, high = np.quantile(means, [0.025, 0.975])
        rejected += not low <= 0 <= high
    return rejected / studies


def quantiles(count: int, studies: int) -> float:
    """How often quantiles of resampled items have the mean of a normal value in them."""
    values = np.random.default_rng(count).normal(size=(studies, count))
    low, high = np.quantile(values @ samples(count)[1:].T / count, [0.025, 0.975], axis=1)
    return float(((low <= 0) & (high >= 0)).mean())


if __name__ == "__main__":  # the numbers of docs/statistics.md
    from plugins.attention.core.word import TERM_SETS

    print("quantiles over 20 items", quantiles(20, 4000))
    for number in (2, 3, 5):
        print(number, "resampled seeds", *(rejecting(number, 4000, each) for each in (True, False)))
    for number in (2, 17):
        for count in (100, 1000):
            for seeds in (2, 3, 5):
                rates = coverage(("none", *TERM_SETS)[:number], seeds, count, 500)
                cells = (f"{100 * rate:.1f}" for rate in rates.values())
                print(f"| {number} | {count} | {seeds} | {' | '.join(cells)} |", flush=True)
