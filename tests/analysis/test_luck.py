"""What a seed does to all mechanisms that have something in common."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from worlds import world

from analysis.stats.claims import judge
from analysis.stats.effects import TERM_SETS, contrasts
from analysis.stats.group import groups
from analysis.stats.model import Model

BESIDE = ("none+deformable", "0010+deformable", "0100+deformable", "1111+deformable")


def lucky(has, seeds=4, luck=1.0, seed=0):
    """A table in which seeds favour all mechanisms of which `has` is true."""
    means = dict.fromkeys((*TERM_SETS, "none", *BESIDE), 20.0) | {"none": 15.0}
    frame = world(means, seeds=seeds, sd=0.05, rng=np.random.default_rng(seed))
    favour = np.random.default_rng(seed + 1).normal(0, luck, seeds)
    frame["value"] += frame["mechanism"].map(has) * favour[frame["seed"]]
    return frame


@pytest.mark.parametrize(
    ("has", "weights", "trait"),
    [
        (lambda w: w[2] == "1", {"0010": 1.0, "0000": -1.0}, "E3"),
        (lambda w: w[0] == "1", {"1111": 1.0, "0111": -1.0}, "E1"),
        (lambda w: "deformable" in w, {"none+deformable": 1.0, "0100": -1.0}, "deformable"),
    ],
)
def test_a_pair_that_differs_in_a_lucky_trait_is_judged_seed_by_seed(has, weights, trait):
    frame = lucky(has)
    found = Model(frame).shared(weights)
    assert found.asked
    assert trait in found.traits
    pivot = frame.pivot(index="seed", columns="mechanism", values="value")
    one, other = weights
    differences = pivot[one] - pivot[other]
    assert found.estimate.effect == pytest.approx(differences.mean())
    assert found.estimate.error == pytest.approx(differences.sem())


def test_a_pair_with_the_same_traits_or_other_ones_is_left_alone():
    model = Model(lucky(lambda w: w[2] == "1"))
    for weights in ({"0011": 1.0, "0010": -1.0}, {"1000": 1.0, "0100": -1.0}):
        found = model.shared(weights)
        assert not found.traits
        assert not found.asked


def test_luck_is_named_in_the_reason_and_takes_a_verdict_back(mine):
    frame = lucky(lambda w: w[2] == "1", luck=0.5, seed=2)
    frame.loc[frame["mechanism"] == "0010", "value"] += 0.8
    assert Model(frame).contrast({"0010": 1.0, "0000": -1.0}).interval(0.9)[0] > 0
    (verdict,) = judge(groups(frame), [mine("      - greater: {0010: 1, 0000: -1}")])
    assert verdict.verdict == "inconclusive"
    pivot = frame.pivot(index="seed", columns="mechanism", values="value")
    differences = pivot["0010"] - pivot["0000"]
    reach = stats.t.ppf(0.95, len(differences) - 1) * differences.sem()
    mean = differences.mean()
    said = f"that of E3; seed by seed it is {mean - reach:+.2f} to {mean + reach:+.2f}"
    assert f"; effects differ from seed to seed, {said}" in verdict.reason


def test_sets_without_some_seeds_do_not_switch_off_what_contrasts_of_many_are_asked(mine):
    means = {w: 20 + 3 * (w[1] == "1") for w in TERM_SETS}
    frame = world(means, seeds=4, sd=0.05)
    claim, weights = mine("      - greater: {E2: 1}"), contrasts()["E2"]
    assert judge(groups(frame), [claim])[0].verdict == "supported"
    # Two of four seeds, and then none, are those of all sets.
    one = frame[~((frame["mechanism"] == "1011") & (frame["seed"] > 1))]
    found = Model(one).shared(weights)
    assert (bool(found.asked), found.estimate.n) == (True, 2)
    sets = ("1011", "0111", "1101", "1110")
    place = frame["mechanism"].map(dict(zip(sets, range(4), strict=True)))
    (verdict,) = judge(groups(frame[frame["seed"] != place]), [claim])
    assert verdict.verdict == "inconclusive"
    assert "its mechanisms have no seed in common, which does not show it" in verdict.reason
    # Two seeds in all are known to be few, whatever others of the group have.
    pair = frame[frame["seed"] < 2]
    more = world({"none": 15.0}, seeds=4, sd=0.05)
    for table in (pair, pd.concat([pair, more], ignore_index=True)):
        assert judge(groups(table), [claim])[0].verdict == "supported"
