"""How often verdicts are wrong, and how often they are right, in simulated tables of a known truth.

Each world has 16 term sets and ``none``. Of each table the seeds' own effects are arbitrary, since
they are blocks. ``docs/statistics.md`` shows the results.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.table import FIELDS
from analysis.stats.aggregates import rates as aggregates
from analysis.stats.claimfile import load
from analysis.stats.effects import TERM_SETS, contrasts
from analysis.stats.group import Group
from analysis.stats.model import Model
from analysis.stats.power import Noise, in_deviations
from analysis.stats.readings import Contrast, read
from analysis.stats.verdicts import Kind, decided
from plugins.contracts.metric import Metric

__all__ = ["SEEDS", "SIGHTS", "WORLDS", "Sight", "World", "measure", "rates", "sighted"]

BLEU = Metric("BLEU")
MARGIN = 0.5
WORDS = ("none", *TERM_SETS)
PAIR = {"1000": 1.0, "1111": -1.0}
SEEDS = (2, 3, 5)
WIDE = 100.0  # a margin in standard deviations over seeds, none of which reaches its other side


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
    margin: float
        That the claim names.
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
    margin: float = MARGIN


def _e3_more_than_e1() -> dict[str, float]:
    effects = contrasts()
    return {word: effects["E3"][word] - effects["E1"][word] for word in TERM_SETS}


EDGE = {"1000": -MARGIN}
E3_ALONE = {"0010": 1.0, "none": -1.0}
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
        "a seed's luck, sd 1, is shared by all sets with E3; E3 does no more than E1",
        *("greater", _e3_more_than_e1(), "contradicted", True),
        sd=0.4,
        luck=1.0,
        margin=0.0,
    ),
    *(
        World(
            f"a seed's luck, sd {luck:g}, is shared by all sets with E3; `0010` is as `none`",
            *("greater", E3_ALONE, "supported", True),
            sd=0.4,
            luck=luck,
            margin=0.0,
        )
        for luck in (0.5, 1.0, 2.0)
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
    *(
        World(
            f"a gain of two margins, claimed to be above {above}",
            *("greater", PAIR, "supported", False, {"1000": 2 * MARGIN}),
            margin=margin,
        )
        for above, margin in (("0", 0.0), ("one", MARGIN))
    ),
)


@dataclass(frozen=True)
class Sight:
    """A claim whose effects are as large as what is printed as `detectable` for other runs.

    Attributes
    ----------
    name: str
        In words.
    claim: str
        Its id among the paper's.
    sites: str
        Where the claim is tested.
    asked: str
        The verdict that is counted: ``supported`` if all effects lie as far inside,
        ``contradicted`` if the least sure of them lies as far outside.
    """

    name: str
    claim: str
    sites: str
    asked: str


SIGHTS = (
    Sight("3d, one gain, inside by `detectable`", "3d", "encoder", "supported"),
    Sight("3d, outside by `detectable`", "3d", "encoder", "contradicted"),
    Sight("1b, an equivalence, outside by `detectable`", "1b", "encoder", "contradicted"),
    Sight("1a, three gains, all inside by `detectable`", "1a", "encoder", "supported"),
    Sight("1a, one of them outside by `detectable`", "1a", "encoder", "contradicted"),
    Sight("3a, six main effects, all inside by `detectable`", "3a", "encoder", "supported"),
    Sight("3a, one of them outside by `detectable`", "3a", "encoder", "contradicted"),
)


def measure(
    tables: int, tell: Callable[[str], None] = lambda line: None, seeds: Sequence[int] = SEEDS
) -> Iterator[dict[str, Any]]:
    """Yield a row for each world and number of seeds, those of sights and of aggregates after it.

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
    for sight in SIGHTS:
        for n in seeds:
            tell(f"{sight.name}, {n} seeds")
            yield {
                "world": sight.name,
                "test": " and ".join(dict.fromkeys(test.kind for test in _tests(sight, n)[1])),
                "verdict": sight.asked,
                "is": "right",
                "seeds": n,
                "tables": tables,
                "rate": round(sighted(sight, n, tables), 4),
                "pooled": None,
            }
    yield from aggregates.measure(tables, tell, seeds)


def rates(world: World, seeds: int, tables: int) -> tuple[float, float]:
    """Return how often the verdict is given, by our error and by the pooled one alone."""
    rng = np.random.default_rng([seeds, tables])
    frame = _cells(seeds)
    words = frame["mechanism"]
    truth = 20.0 + words.map(world.means).fillna(0.0).to_numpy()
    scatter = words.map(world.scatter).fillna(world.sd).to_numpy()
    favoured = (words.str[2] == "1").to_numpy() * world.luck
    luck = rng.normal(0, 1, (seeds, tables))[frame["seed"]] * favoured[:, None]
    noise = rng.normal(0, 1, (len(frame), tables)) * scatter[:, None]
    model = Model(frame, truth[:, None] + noise + luck)
    found, shared = model.contrast(world.weights), model.shared(world.weights)
    alone: Any = model.sd * math.sqrt(sum(w**2 for w in world.weights.values()) / seeds)
    place = ("supported", "contradicted").index(world.asked)
    now = decided(world.kind, found, world.margin, BLEU, shared=shared)[place]
    before = decided(world.kind, replace(found, error=alone), world.margin, BLEU)[place]
    return float(np.mean(now)), float(np.mean(before))


def sighted(sight: Sight, seeds: int, tables: int) -> float:
    """Return how often the effect is seen that other runs print as `detectable`.

    The simulation behind the printed value has random numbers of its own.
    """
    group, tests = _tests(sight, seeds)
    rng = np.random.default_rng([seeds, tables, 1])
    frame = _cells(seeds)
    printed = in_deviations(group, tests) * Model(frame, rng.normal(0, 1, (len(frame), tables))).sd
    noise = Noise(frame, tables, stream=2)
    if sight.asked == "supported":
        return float(np.mean(noise.supported(tests, 1.0, printed)))
    return min(float(np.mean(noise.refuted(test, len(tests), 1.0, printed))) for test in tests)


def _tests(sight: Sight, seeds: int) -> tuple[Group, list[Contrast]]:
    """Return a group of finished runs, and the tests that a claim makes of it."""
    frame = _cells(seeds).reindex(columns=list(FIELDS))
    frame = frame.assign(state="completed", metric=BLEU.name, value=0.0)
    group = Group("translation", "", sight.sites, "", frame)
    claim = next(claim for claim in load() if claim.id == sight.claim)
    tests = [test for test in read(claim, group) if isinstance(test, Contrast)]
    return group, [replace(test, unit=WIDE) for test in tests]


def _cells(seeds: int) -> pd.DataFrame:
    return pd.DataFrame(
        {"mechanism": np.repeat(WORDS, seeds), "seed": np.tile(np.arange(seeds), len(WORDS))}
    )
