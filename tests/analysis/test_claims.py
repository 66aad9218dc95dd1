"""Verdicts in worlds where the truth is known, and their error rates."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from worlds import world

from analysis.stats.claims import judge, load
from analysis.stats.effects import TERM_SETS
from analysis.stats.estimate import Estimate
from analysis.stats.group import groups
from analysis.stats.model import Model
from analysis.stats.readings import SAME
from analysis.stats.verdicts import judged
from plugins.attention.core.site import MapSite
from plugins.attention.core.word import Word
from plugins.contracts.metric import Metric
from plugins.contracts.tasks import find_task

BLEU = Metric("BLEU")
CROSS = {"sites": "cross"}
IMAGES = {"task": "detection", "sites": "conv4.conv5", "metric": "mAP"}


def verdict_of(frame, claim):
    (verdict,) = judge(groups(frame), [claim])
    return verdict


def by_id(frame):
    return {v.claim.id: v for v in judge(groups(frame), load()) if v.verdict != "not tested"}


# --- planted worlds -----------------------------------------------------------------------------


def images(right, sd=0.0005, seeds=3, rng=None):
    """All mechanisms of the image claims, with means and MACs as the paper found them, or not."""
    bits = {w: tuple(bit == "1" for bit in w) for w in TERM_SETS}
    gains = (0.0, 0.010, 0.010, 0.0) if right else (0.012, -0.010, -0.010, 0.012)
    means = {w: 0.30 + sum(g for g, bit in zip(gains, b, strict=True) if bit)
             for w, b in bits.items()}  # fmt: skip
    means["0010"] = 0.310 if right else 0.280
    means |= {"none": 0.295, "0011": 0.319, "1111": 0.320, "0111": 0.320, "0110": 0.320}
    means |= {"none+deformable": 0.330, "0010+deformable": 0.340, "1111+deformable": 0.340}
    means |= {"dynamic": 0.296, "dynamic@1": 0.290, "dynamic@3": 0.300}
    means |= {"0100@1": 0.298, "0100@3": 0.308}
    macs = dict.fromkeys(means, 15e6) | {"1111": 22e6, "0010": 1e6, "none": 0.0}
    macs |= {"none+deformable": 2e6, "0010+deformable": 3e6, "0100@1": 2e6, "0100@3": 4e6}
    macs |= {"dynamic@1": 3e6, "dynamic@3": 6e6, "0111": 15e6, "0110": 15e6}
    if not right:
        means |= {"0011": 0.300, "1111": 0.400, "none": 0.300, "none+deformable": 0.320}
        means |= {
            "0100": 0.350,
            "0010+deformable": 0.31,
            "dynamic": 0.40,
            "dynamic@1": 0.40,
            "dynamic@3": 0.35,
        }
        macs |= {"1111": 15e6, "0010": 20e6, "none+deformable": 40e6, "0010+deformable": 60e6}
        macs |= {"1111+deformable": 15e6}
        macs |= {"0100@3": 9e6, "0100@1": 9e6}
    return world(means, seeds=seeds, sd=sd, rng=rng, block=0.01, macs=macs, **IMAGES)


def sentences(right, sd=0.05, seeds=3, rng=None):
    means = {w: 20.0 + 2 * (w[1] == "1") + 2 * (w[2] == "1") for w in TERM_SETS} | {"none": 19.0}
    means |= {"0011": 22.0, "none+deformable": 22.0, "dynamic": 22.0, "1111": 24.0, "none": 15.0}
    means |= {"0010+deformable": 25.0, "1111+deformable": 25.0}
    macs = {"dynamic": 1e5}
    if not right:
        means = {w: 20.0 + 3 * (w[0] == "1") - 2 * (w[1] == "1") - 2 * (w[2] == "1")
                 for w in TERM_SETS} | {"none": 21.0, "none+deformable": 30.0}  # fmt: skip
        means |= {"1111": 30.0, "dynamic": 12.0}
        means |= {"0010+deformable": 25.0, "1111+deformable": 28.0}
        macs = {"dynamic": 1e7}
    return world(means, seeds=seeds, sd=sd, rng=rng, block=1, macs=macs)


def alignment(right, sd=0.05, seeds=3, rng=None):
    means = {"1111": 30.0, "0111": 22.0 if right else 30.1, "1000": 30.1 if right else 22.0}
    means |= {"0000": 10.0}
    return world(means, seeds=seeds, sd=sd, rng=rng, block=1, **CROSS)


WORLDS = [(images, 19), (sentences, 10), (alignment, 2)]


@pytest.mark.parametrize(("make", "count"), WORLDS)
def test_where_the_paper_is_right_every_claim_that_can_be_tested_is_supported(make, count):
    found = by_id(make(True))
    assert {id: v.reason for id, v in found.items() if v.verdict != "supported"} == {}
    assert len(found) == count


@pytest.mark.parametrize(("make", "count"), WORLDS)
def test_where_it_is_wrong_every_claim_is_contradicted(make, count):
    found = by_id(make(False))
    assert {id: v.reason for id, v in found.items() if v.verdict != "contradicted"} == {}
    assert len(found) == count


@pytest.mark.parametrize(("make", "noise"), [(images, 0.5), (sentences, 60), (alignment, 60)])
def test_where_noise_is_large_claims_of_accuracy_are_inconclusive(make, noise):
    """But for one test in ten at most: 5 % of them err on either side."""
    words = []
    for seed in range(8):
        verdicts = by_id(make(True, sd=noise, seeds=2, rng=np.random.default_rng(seed))).values()
        accuracy = [verdict for verdict in verdicts if verdict.metric != "MACs"]
        words += [verdict.verdict for verdict in accuracy]
        for verdict in accuracy:
            assert verdict.verdict != "supported" or verdict.claim.tests[0].greater
            assert verdict.detectable > 20 * verdict.margin
    assert words.count("inconclusive") / len(words) > 0.8


def test_all_claims_of_the_paper_take_part():
    ids = {claim.id for claim in load()}
    assert ids == {*by_id(images(True))} | {*by_id(sentences(True))} | {*by_id(alignment(True))}
    assert {id[0] for id in ids} == set("123456")


def test_one_seed_is_inconclusive_and_says_so():
    for verdict in by_id(sentences(True, seeds=1)).values():
        if verdict.metric != "MACs":
            assert verdict.verdict == "inconclusive"
            assert verdict.reason.startswith("one seed in common: ")
            assert math.isnan(verdict.low)
            assert math.isnan(verdict.detectable)
            assert verdict.n == 1


# --- numbers ------------------------------------------------------------------------------------


def test_equivalence_is_the_two_one_sided_t_tests():
    """Against scipy's paired one-sided tests at 5 %, over margins that flip the verdict."""
    frame = world({"0111": 20, "1111": 20.1}, seeds=6, sd=0.3, block=2)
    model = Model(frame)
    table = frame.pivot(index="seed", columns="mechanism", values="value")
    difference = table["0111"] - table["1111"]
    seen = set()
    for margin in (0.05, 0.2, 0.3, 0.4, 0.6, 1.0):
        p = max(
            stats.ttest_1samp(difference, -margin, alternative="greater").pvalue,
            stats.ttest_1samp(difference, margin, alternative="less").pvalue,
        )
        estimate = model.contrast({"0111": 1, "1111": -1})
        verdict = judged("equivalent", estimate, margin, "x", BLEU)
        assert (verdict.verdict == "supported") == (p < 0.05), margin
        assert verdict.p == pytest.approx(p)
        seen.add(verdict.verdict)
        low, high = stats.ttest_1samp(difference, 0).confidence_interval(0.9)
        assert (verdict.low, verdict.high) == pytest.approx((low, high))
        assert (verdict.margin, verdict.n) == (margin, 6)
    assert seen == {"supported", "inconclusive"}


KINDS = {
    # kind: true effects at which the claim is just not true, in margins
    "greater": (1.0,),
    "not_worse": (-1.0,),
    "equivalent": (1.0, -1.0),
}


def estimates(effect, se_known, df, count, rng):
    """Estimates as a normal world gives them: a normal effect, a chi-square variance."""
    errors = se_known * np.sqrt(rng.chisquare(df, count) / df)
    for value, error in zip(rng.normal(effect, se_known, count), errors, strict=True):
        yield Estimate(float(value), float(error), df, 3)


def rates(kind, effect, margin, se, df, count=2000):
    rng = np.random.default_rng(8)
    words = [judged(kind, e, margin, "x", BLEU).verdict
             for e in estimates(effect, se, df, count, rng)]  # fmt: skip
    return {word: words.count(word) / count for word in set(words)}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("se", [0.05, 0.6, 20])
def test_at_the_edge_of_the_claim_both_errors_are_at_most_5_of_100(kind, se):
    limit = 0.05 + 3 * math.sqrt(0.05 * 0.95 / 2000)
    for edge in KINDS[kind]:
        rate = rates(kind, edge * 0.5, 0.5, se, 8)
        assert rate.get("supported", 0) <= limit
        assert rate.get("contradicted", 0) <= limit


@pytest.mark.parametrize("kind", ["greater", "not_worse"])
def test_one_sided_tests_use_their_level_up(kind):
    rate = rates(kind, KINDS[kind][0] * 0.5, 0.5, 0.3, 8)
    assert rate["supported"] == pytest.approx(0.05, abs=0.016)
    assert rate["contradicted"] == pytest.approx(0.05, abs=0.016)


def test_error_rates_hold_for_whole_tables_too(mine):
    """The null from runs to verdict: 1111 is exactly one margin better."""
    claim = mine("      - greater: {1111: 1, 0111: -1}\n        margin: 1")
    rng, count = np.random.default_rng(6), 150
    frame = world({"0010": 20, "0111": 20, "1111": 20.5}, seeds=3)
    truth = frame["value"].copy()
    supported = 0
    for _ in range(count):
        frame["value"] = truth + rng.normal(0, 2, 3)[frame["seed"]] + rng.normal(0, 0.3, 9)
        supported += verdict_of(frame, claim).verdict == "supported"
    assert 0.01 <= supported / count <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)


def test_where_there_are_several_ways_to_fail_each_has_its_share_of_the_level():
    estimate = Estimate(-0.5, 0.25, 6, 3)  # t = 2 with 6 degrees of freedom: p = 0.046
    assert judged("greater", estimate, 0.0, "x", BLEU).verdict == "contradicted"
    shared = judged("greater", estimate, 0.0, "x", BLEU, tests=4)
    assert shared.verdict == "inconclusive"
    assert shared.reason.endswith("lies below 0, but not at its level of 1.25 %")
    # An equivalence can fail on two sides.
    assert judged("equivalent", estimate, 1e-6, "x", BLEU).verdict == "inconclusive"
    sure = judged("equivalent", Estimate(-0.5, 0.2, 6, 3), 1e-6, "x", BLEU)  # t = 2.5, p = 0.023
    assert sure.verdict == "contradicted"
    assert sure.reason.endswith("lies outside ±0.00, even at 2.5 %")


# --- several tests, missing runs, ranges --------------------------------------------------------


def test_a_claim_is_as_good_as_its_worst_test(mine):
    frame = world({"0010": 22, "0110": 20, "1111": 24}, seeds=3, sd=0.05)
    good, bad = "      - greater: {0010: 1, 0110: -1}", "      - greater: {0010: 1, 1111: -1}"
    absent = "      - greater: {0010: 1, 0001: -1}"
    unclear = "      - equivalent: {0010: 1, 0110: -1}\n        margin: 4"
    assert verdict_of(frame, mine(good)).verdict == "supported"
    assert verdict_of(frame, mine(f"{good}\n{bad}\n{absent}")).verdict == "contradicted"
    verdict = verdict_of(frame, mine(f"{good}\n{absent}"))
    assert (verdict.verdict, verdict.reason) == ("not tested", "no finished run of 0001")
    lacking = f"{absent}\n      - greater: {{1000: 1, 0001: -1}}"
    assert verdict_of(frame, mine(lacking)).reason == "no finished run of 0001, 1000"
    verdict = verdict_of(frame, mine(f"{good}\n{unclear}"))
    assert verdict.verdict == "inconclusive"
    assert verdict.effect == pytest.approx(2, abs=0.15)
    assert verdict.margin == 2
    assert [outcome.verdict for outcome in verdict.outcomes] == ["supported", "inconclusive"]


def test_every_range_with_runs_of_both_is_judged(mine):
    means = {"0100@1": 22, "dynamic@1": 20, "0100@3": 23, "dynamic@3": 25, "0100@5": 9}
    frame = world(means, seeds=3, sd=0.05)
    verdict = verdict_of(frame, mine("      - greater: {0100@k: 1, dynamic@k: -1}"))
    assert verdict.verdict == "contradicted"
    assert verdict.reason.startswith("0100@3 - dynamic@3 = -1.94 BLEU")
    assert len(verdict.outcomes) == 2
    ends = verdict_of(frame, mine("      - greater: {0100@widest: 1, 0100@narrowest: -1}"))
    assert ends.reason.startswith("0100@5 - 0100@1 = -1")
    one = frame[frame["mechanism"].isin(["0100@1", "dynamic@1"])]
    few = verdict_of(one, mine("      - greater: {0100@widest: 1, 0100@narrowest: -1}"))
    assert few.reason == "fewer than two ranges k with finished runs of 0100@k"


def test_dynamic_convolution_without_a_range_is_that_of_range_1(mine):
    for word, twin in SAME.items():
        (part,), (same,) = (Word.parse(each.partition("+")[0]).parts for each in (word, twin))
        assert part.taps(MapSite()) == same.taps(MapSite())
    ends = mine("      - greater: {0100: 1, dynamic@widest: -1}")
    frame = world({"0100": 22, "dynamic": 20, "dynamic+deformable": 9}, sd=0.05)
    verdict = verdict_of(frame, ends)
    assert (verdict.verdict, verdict.n) == ("supported", 3)
    assert verdict.reason.startswith("0100 - dynamic = ")
    beside = mine("      - greater: {dynamic@1: 1, dynamic@1+deformable: -1}")
    assert verdict_of(frame, beside).reason.startswith("dynamic - dynamic+deformable = ")
    wider = pd.concat([frame, world({"dynamic@3": 25}, sd=0.05)], ignore_index=True)
    assert verdict_of(wider, ends).reason.startswith("0100 - dynamic@3 = ")
    shrinks = mine("      - greater: {dynamic@widest: 1, dynamic@narrowest: -1}")
    assert verdict_of(wider, shrinks).reason.startswith("dynamic@3 - dynamic = ")
    listed = world({"0100": 22, "dynamic@1": 20}, sd=0.05)
    plain = mine("      - greater: {0100: 1, dynamic: -1}")
    assert verdict_of(listed, plain).reason.startswith("0100 - dynamic@1 = ")


def test_a_main_effect_is_that_of_the_factorial(mine):
    means = {w: 20 + 3 * (w[1] == "1") + 1 * (w[0] == "1") for w in TERM_SETS}
    frame = world(means, seeds=2, sd=0.05)
    verdict = verdict_of(frame, mine("      - greater: {E2: 1, E1: -1}"))
    assert verdict.effect == pytest.approx(2, abs=0.1)
    assert verdict.reason.startswith("E2 - E1 = ")
    missing = verdict_of(frame[frame["mechanism"] != "1011"], mine("      - greater: {E2: 1}"))
    assert missing.reason == "no finished run of 1011"
    # 1111 has both terms or neither: their difference needs no run of it.
    rest = frame[frame["mechanism"] != "1111"]
    assert verdict_of(rest, mine("      - greater: {E2: 1, E1: -1}")).verdict == "supported"


def test_a_claim_is_judged_where_it_applies_and_nowhere_else(mine):
    runs = {"0111": 20, "1111": 20}
    places = ["encoder", "decoder", "self", "cross", "encoder.cross"]
    frame = pd.concat([world(runs, sites=s).assign(id=lambda f, s=s: f["id"] + s) for s in places])
    test = "      - equivalent: {0111: 1, 1111: -1}"
    found = groups(frame)
    assert {v.group.sites for v in judge(found, [mine(test)])} == {"encoder", "decoder", "self"}
    assert [v.group.sites for v in judge(found, [mine(test, attention="cross")])] == ["cross"]
    (nowhere,) = judge(found, [mine(test, tasks="[detection]")])
    assert nowhere.verdict == "not tested"
    assert nowhere.reason == "no finished run of self-attention in detection"


def test_a_claim_about_a_recipe_is_judged_on_runs_of_it_alone(mine):
    recipes = ["{}", '{"epochs": 8}', '{"dropout": 0.3}', '{"dropout": 0.5, "epochs": 8}']
    frame = pd.concat(
        [world({"0111": 20, "1111": 20}, recipe=r).assign(id=lambda f, r=r: f["id"] + r)
         for r in recipes]
    )  # fmt: skip
    test, found = "      - equivalent: {0111: 1, 1111: -1}", groups(frame)

    def about(recipe):
        return [v.group and v.group.variant for v in judge(found, [mine(test, recipe=recipe)])]

    usual = find_task("translation").Recipe.model_fields["dropout"].default
    assert usual not in (0.2, 0.3, 0.5)
    assert len(about("{}")) == 4
    assert about("{dropout: 0.5}") == ["dropout=0.5, epochs=8"]
    assert about("{epochs: 8}") == ["dropout=None, epochs=8", "dropout=0.5, epochs=8"]
    # What a recipe leaves out has its default.
    assert about(f"{{dropout: {usual}}}") == ["dropout=None, epochs=None", "dropout=None, epochs=8"]
    (nowhere,) = judge(found, [mine(test, recipe="{dropout: 0.2}")])
    assert nowhere.verdict == "not tested"
    assert nowhere.reason == "no finished run of self-attention in translation, dropout=0.2"


def test_a_recipe_without_any_of_a_claims_mechanisms_is_left_out_beside_one_with_some(mine):
    with_both, half, without = (
        world(runs, recipe=recipe).assign(id=lambda f, r=recipe: f["id"] + r)
        for recipe, runs in (
            ("{}", {"none": 15, "0111": 20, "1111": 20}),
            ('{"epochs": 8}', {"none": 15, "0111": 20}),
            ('{"epochs": 9}', {"none": 15, "0010": 15}),
        )
    )
    claim = mine("      - equivalent: {0111: 1, 1111: -1}")

    def about(*worlds):
        return {v.group.variant for v in judge(groups(pd.concat(worlds)), [claim])}

    assert about(with_both, half, without) == {"epochs=None", "epochs=8"}
    assert verdict_of(without, claim).reason == "no finished run of 0111, 1111"
    # dynamic and dynamic@1 are two words for one network.
    ranged = world({"dynamic+deformable": 15, "dynamic": 20})
    other = world({"none": 15, "0010": 15}, recipe='{"epochs": 9}')
    asked = mine("      - greater: {dynamic@1: 1, dynamic@1+deformable: -1}")
    judged = judge(groups(pd.concat([ranged, other.assign(id=other["id"] + "b")])), [asked])
    assert [v.verdict for v in judged] == ["supported"]


def test_what_training_did_not_raise_supports_no_equivalence(mine):
    claim = mine("      - equivalent: {0111: 1, 1111: -1}")
    frame = world({"0111": 0.2, "1111": 0.2, "none": 0.2}, seeds=3, sd=0.01)
    verdict = verdict_of(frame, claim)
    assert verdict.verdict == "inconclusive"
    assert verdict.reason.endswith("training raised none of them by more than the margin")
    frame.loc[frame["mechanism"] != "none", "value"] += 5
    assert verdict_of(frame, claim).verdict == "supported"


def test_a_metric_without_a_margin_is_not_tested_and_the_margin_may_be_given(mine, tmp_path):
    frame = world({"0111": 20, "1111": 20, "none": 9}, seeds=3, sd=0.01, metric="chrF")
    claim = mine("      - equivalent: {0111: 1, 1111: -1}")
    assert verdict_of(frame, claim).reason.startswith("no margin is agreed for chrF")
    given = load([tmp_path / "mine.yaml"], {"chrF": 1.0})[-1]
    assert verdict_of(frame, given).verdict == "supported"


def test_unknown_cost_is_not_tested(mine):
    claim = mine("      - cheaper: {mechanism: 0010, than: none}")
    frame = world({"0010": 20, "none": 20}, macs={"0010": 1e6, "none": 0.0})
    assert verdict_of(frame, claim).reason == "mechanism MACs of 0010 or none are not known, or 0"
    whole = verdict_of(frame, mine("      - cheaper: {mechanism: none, than: 0010, of: model}"))
    assert (whole.verdict, whole.metric) == ("supported", "MACs")
    assert whole.effect == pytest.approx(1e8 / 1.01e8)


def test_verdicts_use_the_scatter_of_every_mechanism_of_the_group():
    frame = alignment(True)
    verdict = by_id(frame)["2a"]
    estimate = Model(frame).contrast({"1111": 1, "0111": -1})
    assert estimate.df == 6
    assert (verdict.low, verdict.high) == pytest.approx(estimate.interval(0.9))


@pytest.mark.parametrize("values", [(0.0, 0.0), (0.001, 0.0)])
@pytest.mark.parametrize(("word", "test"), [("1111", "greater"), ("0111", "equivalent")])
def test_runs_that_learned_nothing_refute_nothing(mine, values, word, test):
    frame = world(dict(zip(("1111", "0111"), values, strict=True)), sd=0.01, seeds=4)
    other = "0111" if word == "1111" else "1111"
    claim = mine(f"      - {test}: {{{word}: 1, {other}: -1}}\n        margin: 1")
    (verdict,) = judge(groups(frame), [claim])
    assert verdict.verdict == "inconclusive"
    assert "training raised none of them" in verdict.reason


def test_without_the_untrained_metric_equality_is_doubted_and_a_gain_is_not(mine):
    frame = world({"1111": 20.0, "0111": 20.0, "0000": 5.0}, sd=0.05, seeds=4, untrained=np.nan)
    equal = mine("      - equivalent: {1111: 1, 0111: -1}")
    gain = mine("      - greater: {1111: 1, 0000: -1}\n        margin: 1")
    (doubted,), (seen,) = judge(groups(frame), [equal]), judge(groups(frame), [gain])
    assert doubted.verdict == "inconclusive"
    assert "the untrained network was not measured" in doubted.reason
    assert seen.verdict == "supported"


def test_a_run_that_learned_nothing_is_no_evidence_for_what_it_takes_part_in(mine):
    frame = world({"1111": 20.0, "0111": 12.0, "1000": 19.0}, sd=0.05, seeds=3)
    claim = mine("      - greater: {1111: 1, 0111: -1}")
    wrong = mine("      - equivalent: {1111: 1, 0111: -1}")
    other = mine("      - greater: {1111: 1, 1000: -1}")
    assert verdict_of(frame, claim).verdict == "supported"
    assert verdict_of(frame, wrong).verdict == "contradicted"
    one = (frame["mechanism"] == "0111") & (frame["seed"] == 1)
    frame.loc[frame["mechanism"] == "0111", "value"] = 3.0
    frame.loc[one, "untrained"] = 3.0
    for doubtful in (claim, wrong):
        verdict = verdict_of(frame, doubtful)
        assert verdict.verdict == "inconclusive"
        assert "but runs of 0111 are not above the untrained network" in verdict.reason
    assert verdict_of(frame, other).verdict == "supported"


def test_a_claim_that_expects_chance_takes_it_for_what_it_is(mine):
    frame = world({"1111": 20.0, "0111": 3.0, "0011": 3.0}, sd=0.05, seeds=3)
    frame["untrained"] = 3.0
    needed = "      - greater: {1111: 1, 0111: -1}"

    def expecting(words, tests=needed):
        return mine(tests, chance=words)

    assert verdict_of(frame, mine(needed)).verdict == "inconclusive"
    assert verdict_of(frame, expecting("[0011]")).verdict == "inconclusive"
    assert verdict_of(frame, expecting("[0011, 0111]")).verdict == "supported"
    # That two differ in nothing is still no finding where neither learned anything.
    equal = "      - equivalent: {0111: 1, 0011: -1}"
    verdict = verdict_of(frame, expecting("[0011, 0111]", equal))
    assert verdict.verdict == "inconclusive"
    assert "training raised none of them" in verdict.reason


def test_n_counts_the_seeds_in_common_and_one_gives_no_verdict(mine):
    """Though the other mechanisms tell how much seeds scatter."""
    frame = world(dict.fromkeys(("0001", "0010", "0011"), 20.0) | {"0111": 20, "1111": 30},
                  sd=0.1, seeds=3)  # fmt: skip
    claim = mine("      - greater: {1111: 1, 0111: -1}")

    def without(word, *seeds):
        return frame[~((frame["mechanism"] == word) & frame["seed"].isin(seeds))]

    verdict = verdict_of(without("1111", 2), claim)
    assert (verdict.verdict, verdict.n) == ("supported", 2)
    alone = verdict_of(without("1111", 1, 2), claim)
    assert (alone.verdict, alone.n) == ("inconclusive", 1)
    assert alone.reason.startswith("one seed in common: 1111 - 0111 = +9.")
    assert math.isnan(alone.low)
    assert math.isnan(alone.detectable)
    rest = without("1111", 2)
    crossed = rest[~((rest["mechanism"] == "0111") & (rest["seed"] == 0))]
    assert verdict_of(crossed, claim).n == 1
    apart = crossed[~((crossed["mechanism"] == "0111") & (crossed["seed"] == 1))]
    verdict = verdict_of(apart, claim)
    assert (verdict.verdict, verdict.n) == ("inconclusive", 0)
    assert verdict.reason.startswith("no seed in common: ")
    # A run that is missing here and another there do not spoil a comparison of many.
    wide = mine("      - greater: {1111: 3, 0111: -1, 0001: -1, 0010: -1}")
    holes = world(dict.fromkeys(("0001", "0010", "0111"), 20.0) | {"1111": 30}, sd=0.1, seeds=4)
    holes = holes[~holes["id"].isin(["0001-s0", "0010-s1", "0111-s2"])]
    assert (verdict_of(holes, wide).verdict, verdict_of(holes, wide).n) == ("supported", 2)


def test_a_verdict_gives_the_interval_of_its_own_seeds_too(mine):
    """Welch's interval of values from which the seeds' effects are taken."""
    frame = world({"0010": 20, "0111": 20, "1111": 30}, sd=0.3, seeds=3)
    table = frame.pivot(index="seed", columns="mechanism", values="value")
    adjusted = table.sub(table.mean(axis=1), axis=0)
    # The seed's mean has a third of the run's own noise in it.
    first, second = (adjusted[word].var() * 3 / 2 / 3 for word in ("1111", "0111"))
    df = (first + second) ** 2 / (first**2 / 2 + second**2 / 2)
    reach = stats.t.ppf(0.95, df) * math.sqrt(first + second)
    effect = (table["1111"] - table["0111"]).mean()
    claim = mine("      - greater: {1111: 1, 0111: -1}")
    verdict = verdict_of(frame, claim)
    said = f"(their own seeds alone: {effect - reach:+.2f} to {effect + reach:+.2f})"
    assert verdict.reason.endswith(said)
    pair = frame[frame["mechanism"] != "0010"]
    assert "alone" not in verdict_of(pair, claim).reason
