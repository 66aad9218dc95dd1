"""Worlds in which a careless reader of the numbers would be confidently wrong."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from worlds import world

from analysis.stats.claims import judge, load
from analysis.stats.effects import TERM_SETS, effects
from analysis.stats.group import groups

IMAGES = {"task": "detection", "sites": "conv4.conv5", "metric": "mAP"}
DEFORMABLE = ("none+deformable", "0010+deformable", "1111+deformable")
EVERYTHING = ("none", *TERM_SETS, *DEFORMABLE)


def verdicts(frame, *ids):
    found = {v.claim.id: v for v in judge(groups(frame), load())}
    return [found[id] for id in ids]


def words(frame, *ids):
    return [verdict.verdict for verdict in verdicts(frame, *ids)]


@pytest.mark.parametrize(
    ("level", "end"), [(0.30, ""), (0.008, ""), (1.0, "ceiling, 100.00"), (0.004, "raised none")]
)
def test_where_nothing_brings_anything_nothing_is_as_good_as_anything(level, end):
    frame = world(dict.fromkeys(EVERYTHING, level), sd=0.0005, seeds=5, **IMAGES)
    for verdict in verdicts(frame, "1b", "3b", "5a"):
        assert verdict.verdict == "inconclusive"
        assert ("nothing to lose" in verdict.reason) or end == "raised none"
        assert end in verdict.reason
    gained = frame["mechanism"].isin(["none", "none+deformable"])
    frame.loc[gained, "value"] -= 0.05
    assert words(frame.assign(untrained=-1.0), "1b", "3b", "5a") == ["supported"] * 3


def test_what_is_compared_in_encoder_decoder_attention_must_beat_0000():
    means = dict.fromkeys(TERM_SETS, 20.0)
    frame = world(means, sd=0.05, seeds=3, sites="cross")
    (verdict,) = verdicts(frame, "2b")
    assert (verdict.verdict, "- 0000 =" in verdict.reason) == ("inconclusive", True)
    frame.loc[frame["mechanism"] == "0000", "value"] = [5.0, 5.1, 4.9]
    assert words(frame, "2b", "2a") == ["supported", "contradicted"]


@pytest.mark.parametrize("how", ["failed", "valueless"])
def test_runs_that_failed_on_one_side_leave_no_verdict(how):
    means = dict.fromkeys(TERM_SETS, 20.0) | {"none": 15.0}
    frame = world(means, sd=0.05, seeds=5)
    assert words(frame, "1b") == ["supported"]
    gone = frame["id"].isin(["0111-s2", "0111-s3", "0111-s4"])
    frame.loc[gone, "value"] = np.nan
    if how == "failed":
        frame.loc[gone, "state"] = "failed"
    (verdict,) = verdicts(frame, "1b")
    assert verdict.verdict == "inconclusive"
    assert "runs without a value: 3 of 0111, more on one side" in verdict.reason
    named = ["0111 seed 2", "0111 seed 3", "0111 seed 4"]
    (group,) = groups(frame)
    (factorial,) = effects([group])
    for notes in (group.cautions, factorial.notes):
        assert any(all(run in note for run in named) for note in notes)
    also = frame["id"].isin(["1111-s0", "1111-s1", "1111-s2"])
    frame.loc[also, ["value", "state"]] = [np.nan, "failed"]
    (verdict,) = verdicts(frame, "1b")
    assert "3 of 0111, 3 of 1111" in verdict.reason  # as many on either side


def test_one_run_that_went_wrong_decides_nothing():
    means = dict.fromkeys(TERM_SETS, 20.0) | {"none": 15.0, "0000": 15.0}
    for sites, ids in (("encoder", ("1b", "3b")), ("cross", ("2a", "2b"))):
        frame = world(means, sd=0.1, seeds=2, sites=sites)
        frame.loc[frame["id"] == "1111-s1", "value"] = 0.02
        frame.loc[frame["id"] == "1111-s1", "untrained"] = 0.0
        for verdict in verdicts(frame, *ids):
            assert verdict.verdict == "inconclusive"
            assert "1111 seed 1" in verdict.reason
        (group,) = groups(frame)
        assert any("outliers" in note and "1111 seed 1 (0.02)" in note for note in group.cautions)


def test_an_outlier_takes_no_verdict_back_that_holds_without_it():
    means = {"0111": 30.0, "1111": 20.0, "none": 15.0, "0010": 16.0, "0001": 17.0}
    frame = world(means, sd=0.1, seeds=4)
    frame.loc[frame["id"] == "1111-s1", "value"] = 7.0
    (verdict,) = verdicts(frame, "1b")
    assert verdict.verdict == "contradicted"
    assert "also without the outliers, 1111 seed 1" in verdict.reason


def test_a_mechanism_that_is_always_low_and_ordinary_scatter_are_no_outliers():
    rng = np.random.default_rng(2)
    low = world({"0111": 20.0, "1111": 20.0, "0000": 5.0, "0010": 12.0}, sd=0.5, seeds=3, rng=rng)
    tiny = world(dict.fromkeys(TERM_SETS, 0.003), sd=0.002, seeds=3, rng=rng)
    for frame in (low, tiny):
        (group,) = groups(frame)
        assert not any("outliers" in note for note in group.cautions)


def test_identical_values_show_no_difference():
    frame = world(dict.fromkeys(EVERYTHING, 0.3), seeds=3, **IMAGES)
    (verdict,) = verdicts(frame, "3d")
    assert (verdict.verdict, verdict.effect) == ("inconclusive", 0)
    shifted = frame.assign(value=frame["value"] + 0.1 * frame["seed"])  # 0.1 + 0.3 is not 0.4
    (verdict,) = verdicts(shifted, "3d")
    assert (verdict.verdict, verdict.effect) == ("inconclusive", 0)


def test_a_seed_that_favours_all_sets_with_a_term_is_told_and_refutes_nothing():
    """Luck of sd 1 for all sets with E3, noise of 0.4, three seeds, and no effect at all."""
    contradicted, missed, beside, noted, count = 0, 0, 0, 0, 40
    for seed in range(count):
        rng = np.random.default_rng(seed)
        frame = world(dict.fromkeys(TERM_SETS, 20.0) | {"none": 15.0}, sd=0.4, seeds=3, rng=rng)
        luck = rng.normal(0, 1, 3)[frame["seed"]]
        frame["value"] += luck * (frame["mechanism"].str[2] == "1")
        contradicted += words(frame, "3a") == ["contradicted"]
        (factorial,) = effects(groups(frame))
        row = factorial.rows.set_index("name").loc["E3"]
        missed += not row["low"] < 0 < row["high"]
        beside += not row["seed_low"] < 0 < row["seed_high"]
        noted += any("E3 differs from seed to seed" in note for note in factorial.notes)
    assert missed / count > 0.3  # the usual interval takes the sets for replicates
    assert beside / count < 0.15
    assert noted / count > 0.8
    assert contradicted / count <= 0.05


def test_most_of_a_gain_needs_a_gain():
    frame = world({"none": 20.0, "0011": 21.0, "1111": 18.0, "0001": 19.0}, sd=0.05, seeds=3)
    assert words(frame, "1a") == ["contradicted"]


def test_two_terms_that_do_harm_do_not_matter_most():
    signs = {"E1": -3.0, "E2": -0.4, "E3": -0.4, "E4": -3.0}
    means = {
        word: 40 + sum(e for bit, e in zip(word, signs.values(), strict=True) if bit == "1")
        for word in TERM_SETS
    }
    assert words(world(means | {"none": 30.0}, sd=0.05, seeds=3), "3a") == ["contradicted"]


def test_an_effect_below_the_margin_is_called_so():
    rng = np.random.default_rng(1)
    means = {word: 20 + 0.06 * (word[1] == "1") + 0.06 * (word[2] == "1") for word in TERM_SETS}
    (verdict,) = verdicts(world(means | {"none": 15.0}, sd=0.02, seeds=8, rng=rng), "3a")
    assert verdict.verdict == "supported"
    assert "smaller than the margin of 0.5" in verdict.reason


def test_every_step_of_the_range_counts():
    values = {1: 0.38, 2: 0.30, 3: 0.30, 4: 0.40}
    means = {f"{name}@{k}": v for name in ("0100", "dynamic") for k, v in values.items()}
    frame = world(means, sd=0.001, seeds=3, **IMAGES)
    assert words(frame, "6f") == ["contradicted"]
    rising = {f"{name}@{k}": 0.3 + 0.02 * k for name in ("0100", "dynamic") for k in values}
    assert words(world(rising, sd=0.001, seeds=3, **IMAGES), "6f") == ["supported"]


def test_the_recommended_configuration_is_better_than_all_that_costs_no_more():
    means = {"none": 0.30, "none+deformable": 0.32, "0010+deformable": 0.34, "1111": 0.38}
    macs = {"none": 0.0, "none+deformable": 2e6, "0010+deformable": 3e6, "1111": 9e6}
    frame = world(means, sd=0.001, seeds=3, macs=macs, **IMAGES)
    assert words(frame, "5e") == ["supported"]  # 1111 costs more
    frame.loc[frame["mechanism"] == "1111", "model_macs"] = 1e8
    assert words(frame, "5e") == ["contradicted"]
    assert words(frame[frame["mechanism"] == "0010+deformable"], "5e") == ["not tested"]


def test_where_lower_is_better_guards_turn_round():
    means = {"none": 30.0, "0111": 20.0, "1111": 20.0, "0110": 20.0, "0001": 25.0}
    frame = world(means, sd=0.05, seeds=3, metric="perplexity", untrained=900.0)
    loaded = [claim for claim in load(margins={"perplexity": 0.5}) if claim.id == "1b"]
    (verdict,) = judge(groups(frame), loaded)
    assert verdict.verdict == "supported"
    worse = frame.assign(value=frame["value"].where(frame["mechanism"] != "none", 20.0))
    (verdict,) = judge(groups(worse), loaded)
    assert "nothing to lose" in verdict.reason
    broken = pd.concat([frame])
    broken.loc[broken["id"] == "1111-s1", "value"] = 700.0
    (verdict,) = judge(groups(broken), loaded)
    assert (verdict.verdict, "1111 seed 1" in verdict.reason) == ("inconclusive", True)
