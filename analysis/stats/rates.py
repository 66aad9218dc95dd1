"""How often verdicts are wrong, and how often they are right, in simulated tables of a known truth.

Each world has 16 term sets and ``none``. Of each table the seeds' own effects are arbitrary, since
they are blocks. ``docs/statistics.md`` shows the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.stats.aggregates import rates as aggregates
from analysis.stats.effects import TERM_SETS, contrasts
from analysis.stats.model import Estimate, Model
from analysis.stats.verdicts import Kind, judged
from plugins.contracts.metric import Metric

__all__ = ["SEEDS", "WORLDS", "World", "measure", "rates"]

BLEU = Metric("BLEU")
MARGIN = 0.5
WORDS = ("none", *TERM_SETS)
PAIR = {"1000": 1.0, "1111": -1.0}
SEEDS = (2, 3, 5)


@dataclass(frozen=True)
class World:
    """A truth, and the verdict that is asked for.

    Attributes
    ----------
    name: str
        In words.
    kind: str
        Of the test.
    weights: mapping of str to float
        The contrast.
    asked: str
        The verdict that is counted.
    wrong: bool
        Whether it is wrong here.
    means: mapping of str to float
        True differences from 20, by mechanism.
    scatter: mapping of str to float
        Standard deviations over seeds that are not `sd`, by mechanism.
    luck: float
        Standard deviation of what a seed does to all sets with E3 alike.
    """

    name: str
    kind: Kind
    weights: Mapping[str, float]
    asked: str
    wrong: bool
    means: Mapping[str, float] = field(default_factory=dict)
    sd: float = 0.45
    scatter: Mapping[str, float] = field(default_factory=dict)
    luck: float = 0.0


def _e3_more_than_e1() -> dict[str, float]:
    effects = contrasts()
    return {word: effects["E3"][word] - effects["E1"][word] for word in TERM_SETS}


EDGE = {"1000": -MARGIN}
FOUR = ("1000", "1111", "0001", "0010")

WORLDS = (
    World("all scatter alike; on the margin", "equivalent", PAIR, "contradicted", True, EDGE),
    World("all scatter alike; on the margin", "greater", PAIR, "supported", True, {"1000": MARGIN}),
    *(
        World(
            f"one of the two scatters {sd / 0.45:.1f} times as much; on the margin",
            *("equivalent", PAIR, "contradicted", True, EDGE),
            scatter={"1000": sd},
        )
        for sd in (1.2, 2.0, 3.3)
    ),
    World(
        "four sets, the two among them, scatter 12 times as much; no difference",
        *("equivalent", PAIR, "contradicted", True),
        sd=0.1,
        scatter=dict.fromkeys(FOUR, 1.2),
    ),
    World(
        "a seed's luck, sd 1, is shared by all sets with E3; no effect",
        *("greater", _e3_more_than_e1(), "contradicted", True),
        sd=0.4,
        luck=1.0,
    ),
    *(
        World(
            f"no difference, sd {sd / MARGIN:g} margins",
            "equivalent",
            PAIR,
            "supported",
            False,
            sd=sd,
        )
        for sd in (0.1, 0.2, 0.3)
    ),
    World("a gain of two margins", "greater", PAIR, "supported", False, {"1000": 2 * MARGIN}),
)


def measure(
    tables: int, tell: Callable[[str], None] = lambda line: None, seeds: Sequence[int] = SEEDS
) -> Iterator[dict[str, Any]]:
    """Yield a row for each world and number of seeds, then those of aggregates.

    Parameters
    ----------
    tables: int
        How many are simulated for each row.
    tell: callable
        Told what is being done.
    seeds: sequence of int
        Numbers of seeds.
    """
    for world in WORLDS:
        for n in seeds:
            tell(f"{world.name}, {n} seeds")
            now, before = rates(world, n, tables)
            yield {
                "world": world.name,
                "test": world.kind,
                "verdict": world.asked,
                "is": "wrong" if world.wrong else "right",
                "seeds": n,
                "tables": tables,
                "rate": round(now, 4),
                "pooled": round(before, 4),
            }
    yield from aggregates.measure(tables, tell, seeds)


def rates(world: World, seeds: int, tables: int) -> tuple[float, float]:
    """Return how often the verdict is given, by our error and by the pooled one alone."""
    rng = np.random.default_rng([seeds, tables])
    frame = pd.DataFrame(
        {"mechanism": np.repeat(WORDS, seeds), "seed": np.tile(np.arange(seeds), len(WORDS))}
    )
    words = frame["mechanism"]
    truth = 20.0 + words.map(world.means).fillna(0.0).to_numpy()
    scatter = words.map(world.scatter).fillna(world.sd).to_numpy()
    favoured = (words.str[2] == "1").to_numpy() * world.luck
    margin = 0.0 if len(world.weights) > 2 else MARGIN
    edge = 0.0 if world.kind == "greater" and not world.wrong else margin
    counts = np.zeros(2)
    for _ in range(tables):
        luck = rng.normal(0, 1, seeds)[frame["seed"]]
        frame["value"] = truth + rng.normal(0, 1, len(frame)) * scatter + luck * favoured
        model = Model(frame)
        found = model.contrast(world.weights)
        pooled = Estimate(found.effect, _pooled(model, world.weights, seeds), found.df, found.n)
        shared = model.shared(world.weights)
        given = (
            judged(world.kind, found, edge, "x", BLEU, shared=shared),
            judged(world.kind, pooled, edge, "x", BLEU),
        )
        counts += [outcome.verdict == world.asked for outcome in given]
    now, before = counts / tables
    return float(now), float(before)


def _pooled(model: Model, weights: Mapping[str, float], seeds: int) -> float:
    """Return the standard error by the residual variance alone, of a table without gaps."""
    return model.sd * math.sqrt(sum(weight**2 for weight in weights.values()) / seeds)
