"""What runs can tell, against the noncentral t and simulations of numpy alone."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from worlds import world

from analysis.stats.claims import judge, load
from analysis.stats.effects import TERM_SETS, contrasts
from analysis.stats.group import groups
from analysis.stats.model import Model
from analysis.stats.power import Noise, detectable
from analysis.stats.readings import Contrast
from analysis.stats.verdicts import decided, judged
from plugins.contracts.metric import Metric

BLEU = Metric("BLEU")
PAIR = {"1111": 1.0, "0111": -1.0}


def cells(seeds, words=("0111", "1111")):
    return pd.DataFrame(
        {"mechanism": np.repeat(words, seeds), "seed": np.tile(np.arange(seeds), len(words))}
    )


def contrast(kind, weights=PAIR, factor=1.0, unit=0.5):
    return Contrast(kind, weights, factor, unit, "x")


@pytest.mark.parametrize("seeds", [3, 6])
@pytest.mark.parametrize(("kind", "factor"), [("greater", 1.0), ("greater", 0), ("not_worse", 1)])
def test_the_chance_to_see_a_gain_of_one_pair_is_that_of_the_noncentral_t(seeds, kind, factor):
    sd, beyond = 0.3, 0.5
    found = Noise(cells(seeds)).supported([contrast(kind, factor=factor)], sd, beyond).mean()
    shift = beyond / (sd * math.sqrt(2 / seeds))
    exact = stats.nct.sf(stats.t.ppf(0.95, seeds - 1), seeds - 1, shift)
    assert found == pytest.approx(exact, abs=0.03)


@pytest.mark.parametrize("sd", [0.15, 0.3, 0.45])
def test_the_chance_of_an_equivalence_is_that_of_two_one_sided_t_tests(sd):
    """Simulated from the definition, differences alone."""
    seeds, margin = 5, 0.5
    differences = np.random.default_rng(8).normal(0, sd * math.sqrt(2), (20_000, seeds))
    reach = stats.t.ppf(0.95, seeds - 1) * differences.std(axis=1, ddof=1) / math.sqrt(seeds)
    exact = (abs(differences.mean(axis=1)) + reach < margin).mean()
    found = Noise(cells(seeds)).supported([contrast("equivalent")], sd, 0.0).mean()
    assert found == pytest.approx(exact, abs=0.03)


def test_all_tests_of_a_claim_must_be_supported_together():
    """Pairs without a mechanism in common, with a large group's scatter: nearly independent."""
    words = [f"{number:04b}" for number in range(16)]
    noise = Noise(cells(4, words))
    pairs = [contrast("greater", {words[i]: 1.0, words[i + 1]: -1.0}) for i in (0, 2, 4)]
    alone = [noise.supported([pair], 0.5, 0.6).mean() for pair in pairs]
    assert noise.supported(pairs, 0.5, 0.6).mean() == pytest.approx(np.prod(alone), abs=0.04)


@pytest.mark.parametrize("kind", ["greater", "equivalent", "not_worse"])
@pytest.mark.parametrize("lower", [False, True])
def test_many_tables_at_once_are_judged_as_each_alone(kind, lower):
    """With gaps, main effects, shared luck and several tests."""
    metric = replace(BLEU, higher_is_better=not lower)
    frame = cells(4, TERM_SETS).drop(index=[3, 10])
    rng = np.random.default_rng(3)
    tables = 30
    luck = rng.normal(0, 0.6, (4, tables))[frame["seed"]]
    favoured = (frame["mechanism"].str[2] == "1").to_numpy()[:, None]
    one = (frame["mechanism"] == "1111").to_numpy()[:, None]
    truths = rng.choice([-3, 0, 3], tables) * favoured + rng.choice([-2, 0, 2], tables) * one
    values = rng.normal(0, 0.1, (len(frame), tables)) + luck * favoured + truths
    seen = set()
    for weights in (PAIR, contrasts()["E3"]):
        together = Model(frame, values)
        found = decided(kind, together.contrast(weights), 0.3, metric, 2, together.shared(weights))
        for place in range(tables):
            alone = Model(frame.assign(value=values[:, place]))
            verdict = judged(
                kind, alone.contrast(weights), 0.3, "x", metric, 2, alone.shared(weights)
            ).verdict
            assert found[0][place] == (verdict == "supported")
            assert found[1][place] == (verdict == "contradicted")
            seen.add(verdict)
    assert seen == {"supported", "inconclusive", "contradicted"}


@pytest.mark.parametrize("seeds", [2, 3, 6])
def test_what_is_detectable_of_a_pair_is_seen_in_others_in_80_of_100(seeds):
    """Averaged over what the runs may print: the scatter is estimated from them."""
    (group,) = groups(world({"0111": 20, "1111": 21}, seeds=seeds, sd=0.3, block=1))
    factor = detectable(group, [contrast("greater")]) / group.model.sd
    df, error = seeds - 1, math.sqrt(2 / seeds)
    printed = factor * np.sqrt(np.random.default_rng(1).chisquare(df, 4000) / df)
    chances = stats.nct.sf(stats.t.ppf(0.95, df), df, printed / error)
    assert 0.79 <= np.nanmean(chances) <= 0.85


def test_without_an_interval_nothing_is_detectable():
    (group,) = groups(world({"0111": 20, "1111": 21}, seeds=1))
    assert math.isnan(detectable(group, [contrast("greater")]))


def test_all_tests_of_a_claim_say_the_same_size_and_those_of_cost_none():
    means = dict.fromkeys(TERM_SETS, 20.0) | {"none": 18.0}
    (group,) = groups(world(means, seeds=3, sd=0.2))
    found = {verdict.claim.id: verdict for verdict in judge([group], load())}
    assert {outcome.detectable for outcome in found["3a"].outcomes} == {found["3a"].detectable}
    assert found["1a"].detectable > found["3d"].detectable > 0
    (group,) = groups(world(means, seeds=3, sd=0.2, task="detection", sites="conv5", metric="mAP"))
    (cost,) = judge([group], [claim for claim in load() if claim.id == "1c"])
    assert math.isnan(cost.detectable)
