"""Mechanisms over groups: mean gain, ranks, probability of improvement, each against other code."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import stats
from statsmodels.stats.multitest import multipletests
from worlds import world

from analysis.stats.aggregates.gains import alike, combined
from analysis.stats.aggregates.improvement import improvement
from analysis.stats.aggregates.ranking import ranking
from analysis.stats.aggregates.ranks import ranks
from analysis.stats.aggregates.rates import TESTS, WORLDS, rates
from analysis.stats.estimate import Estimate
from analysis.stats.group import groups
from analysis.stats.model import Model
from study.errors import StudyError

MARGINS = {"BLEU": 0.5, "mAP": 0.005, "perplexity": 2.0}


def several(*frames):
    return groups(pd.concat(frames, ignore_index=True))


def sample(values):
    """Return the mean of independent values as an estimate."""
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    return Estimate(float(np.mean(values)), float(error), len(values) - 1, len(values))


# Mean gains


def test_the_interval_of_two_independent_estimates_is_welch_s():
    rng = np.random.default_rng(3)
    one, other = rng.normal(5, 1, 4), rng.normal(3, 6, 7)
    mine, minus = sample(one), sample(-other)
    mean, low, high = combined([mine, minus], [[0], [1]], 0.95)
    welch = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    assert 2 * mean == pytest.approx(one.mean() - other.mean())
    assert (2 * low, 2 * high) == pytest.approx((welch.low, welch.high))


def test_groups_that_share_trainings_make_the_mean_no_surer():
    one = Estimate(2.0, 0.5, 16, 2)
    assert combined([one, one], [[0, 1]], 0.95)[1:] == pytest.approx(one.interval(0.95))
    apart = combined([one, one], [[0], [1]], 0.95)
    together = combined([one, one], [[0, 1]], 0.95)
    assert apart[2] - apart[1] < 0.75 * (together[2] - together[1])


def test_without_an_error_in_one_group_there_is_a_mean_and_no_interval():
    mean, low, high = combined(
        [Estimate(2.0, 0.5, 16, 2), Estimate(4.0, math.nan, 0, 1)], [[0], [1]], 0.95
    )
    assert mean == 3
    assert math.isnan(low)
    assert math.isnan(high)


def test_none_that_stands_nowhere_and_a_network_trained_twice_make_groups_dependent():
    nowhere = world({"none": 0.3}, seeds=2, sites="", task="detection", metric="mAP")
    placed = [
        world({"0010": 0.4}, seeds=2, sd=0.01, rng=np.random.default_rng(i), sites=sites,
              task="detection", metric="mAP").assign(id=[f"{sites}-{s}" for s in (0, 1)])
        for i, sites in enumerate(("conv4", "conv5"))
    ]  # fmt: skip
    found = several(nowhere, *placed, world({"none": 3, "0010": 4}, seeds=2))
    assert [group.sites for group in found] == ["conv4", "conv5", "encoder"]
    assert sorted(map(sorted, alike(found, ["none", "0010"]))) == [[0, 1], [2]]
    assert len(alike(found, ["0010"])) == 3
    rng = np.random.default_rng(5)
    encoder = world({"1111": 20, "0010": 18}, seeds=2, sd=1, rng=rng)
    cross = world({"1111": 0, "0010": 16}, seeds=2, sd=1, rng=rng, sites="cross")
    cross["id"] += "-cross"
    cross.loc[cross["mechanism"] == "1111", "value"] = encoder["value"][:2].to_numpy()
    found = several(encoder, cross)
    assert len(alike(found, ["1111", "0010"])) == 1
    notes = ranking(found, MARGINS, "1111").notes
    assert any("have trainings in common" in note for note in notes)


# Ranks


def test_ranks_run_from_all_that_are_surely_better_to_all_that_are_surely_worse():
    """Two near 10, one at 5, two near 1: who is who among the near ones cannot be told."""
    frame = world({"a": 10.0, "b": 10.02, "c": 5.0, "d": 1.01, "e": 1.0}, seeds=3, sd=0.05)
    value, low, high = ranks(Model(frame), ["a", "b", "c", "d", "e"], 1, 0.95)
    assert sorted(value) == [1, 2, 3, 4, 5]
    assert list(low) == [1, 1, 3, 4, 4]
    assert list(high) == [2, 2, 3, 5, 5]
    value, low, high = ranks(Model(frame), ["e", "d", "c", "b", "a"], -1, 0.95)
    assert list(low) == [1, 1, 3, 4, 4]
    assert list(high) == [2, 2, 3, 5, 5]


def test_surely_is_a_bonferroni_test_of_all_pairs_by_the_larger_of_two_errors():
    rng = np.random.default_rng(8)
    words = [f"m{i}" for i in range(7)]
    frame = world({word: 0.9 * i for i, word in enumerate(words)}, seeds=3, sd=0.6, rng=rng)
    frame.loc[frame["mechanism"] == "m3", "value"] += [2.0, -2.0, 0.0]
    design = pd.get_dummies(frame["mechanism"]).join(
        pd.get_dummies(frame["seed"], prefix="s", drop_first=True)
    )
    fit = sm.OLS(frame["value"], design.astype(float)).fit()
    robust = fit.get_robustcov_results("HC3", use_t=True)
    pairs = [*itertools.combinations(range(7), 2)]
    p, effects = [], []
    for one, other in pairs:
        row = np.zeros(design.shape[1])
        row[[one, other]] = 1, -1
        p.append(max(float(each.t_test(row).pvalue) for each in (fit, robust)))
        effects.append(float(fit.t_test(row).effect[0]))
    sure = multipletests(p, alpha=0.05, method="bonferroni")[0]
    assert 0 < sure.sum() < len(pairs)
    low, high = np.ones(7), np.full(7, 7)
    for (one, other), certain, effect in zip(pairs, sure, effects, strict=True):
        if certain:
            better, worse = (one, other) if effect > 0 else (other, one)
            low[worse] += 1
            high[better] -= 1
    found = ranks(Model(frame), words, 1, 0.95)
    assert found[1:].tolist() == [low.tolist(), high.tolist()]
    means = frame.groupby("mechanism")["value"].mean()
    assert found[0].tolist() == stats.rankdata(-means[words]).tolist()


def test_equal_values_share_the_mean_of_their_ranks():
    frame = world({"a": 0.3, "b": 0.4, "c": 0.3, "d": 0.1}, seeds=2)
    frame["value"] += 0.1 * frame["seed"]  # 0.1 + 0.3 is not 0.4
    value, low, high = ranks(Model(frame), list("abcd"), 1, 0.95)
    assert value.tolist() == [2.5, 1, 2.5, 4]
    assert low.tolist() == [2, 1, 2, 4]
    assert high.tolist() == [3, 1, 3, 4]


def test_one_seed_gives_ranks_without_an_interval():
    found = ranks(Model(world({"a": 1.0, "b": 2.0, "c": 3.0}, seeds=1)), list("abc"), 1, 0.95)
    assert found[0].tolist() == [3, 2, 1]
    assert np.isnan(found[1:]).all()


# Probability of improvement


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize("gain", [-6.0, -0.3, 0.0, 1.0])
def test_bounds_are_where_the_noncentral_t_has_its_tails(seeds, gain):
    rng = np.random.default_rng(4)
    frame = world({"a": 10 + gain, "b": 10.0, "c": 3.0}, seeds=seeds, sd=1, block=3, rng=rng)
    value, low, high = improvement(Model(frame), "a", "b", 1, 0.95)
    wide = frame.pivot(index="seed", columns="mechanism", values="value")
    t = stats.ttest_rel(wide["a"], wide["b"]).statistic
    assert value == pytest.approx(stats.norm.cdf(t / math.sqrt(seeds)))
    for bound, tail in ((low, 0.975), (high, 0.025)):
        if 1e-12 < bound < 1 - 1e-9:  # else the quantile of the bound has no digits left
            shift = stats.norm.ppf(bound) * math.sqrt(seeds)
            assert stats.nct.cdf(t, seeds - 1, shift) == pytest.approx(tail, abs=1e-4)
    mirrored = improvement(Model(frame), "b", "a", 1, 0.95)
    assert mirrored == pytest.approx((1 - value, 1 - high, 1 - low), abs=1e-7)
    turned = improvement(Model(frame), "b", "a", -1, 0.95)
    assert turned == pytest.approx((value, low, high))


def test_the_interval_of_a_published_example():
    """`conf.limits.nct(t.value = 2.83, df = 126)` of R's MBESS: 0.8337502 to 4.8153588."""
    values = np.random.default_rng(1).normal(size=127)
    values = (values - values.mean()) / values.std(ddof=1) + 2.83 / math.sqrt(127)
    frame = world({"a": 0.0, "b": 0.0}, seeds=127)
    frame.loc[frame["mechanism"] == "a", "value"] = values
    _, low, high = improvement(Model(frame), "a", "b", 1, 0.95)
    bounds = stats.norm.ppf([low, high]) * math.sqrt(127)
    assert bounds == pytest.approx([0.8337502, 4.8153588], abs=1e-5)


def test_what_never_differs_is_even_and_what_always_differs_alike_is_certain():
    frame = world({"a": 0.3, "b": 0.3, "c": 0.4}, seeds=3)
    frame["value"] += 0.1 * frame["seed"]  # 0.1 + 0.3 is not 0.4
    value, low, high = improvement(Model(frame), "a", "b", 1, 0.95)
    assert (value, low + high) == (0.5, pytest.approx(1))
    assert improvement(Model(frame), "c", "b", 1, 0.95) == pytest.approx(np.ones(3))
    assert improvement(Model(frame), "c", "b", -1, 0.95) == pytest.approx(np.zeros(3))
    frame["value"] += 1e-9 * np.random.default_rng(0).normal(size=len(frame))  # a huge t
    assert improvement(Model(frame), "c", "b", 1, 0.95) == pytest.approx(np.ones(3))


def test_fewer_than_two_common_seeds_tell_no_chance():
    frame = world({"a": 1.0, "b": 2.0, "c": 2.5}, seeds=2, sd=0.1)
    lacking = frame[frame["id"] != "a-s1"]
    assert np.isnan(improvement(Model(lacking), "a", "b", 1, 0.95)).all()


# All of it, over groups


def test_gains_are_in_margins_and_their_mean_is_over_groups_in_the_direction_of_the_metric():
    rng = np.random.default_rng(6)
    bleu = world({"none": 15.0, "0010": 16.0, "1111": 18.0}, sd=0.1, rng=rng)
    loss = world({"none": 40.0, "0010": 32.0, "1111": 38.0}, sd=0.1, rng=rng,
                 metric="perplexity", sites="cross")  # fmt: skip
    found = ranking(several(bleu, loss), MARGINS)
    rows = found.rows.set_index("mechanism")
    assert found.baseline == "none"
    assert rows["gain"].is_monotonic_decreasing
    assert rows.loc["0010", "gain"] == pytest.approx((1.0 / 0.5 + 8.0 / 2.0) / 2, abs=0.2)
    assert rows.loc["1111", "gain"] == pytest.approx((3.0 / 0.5 + 2.0 / 2.0) / 2, abs=0.2)
    assert rows.loc["0010", ["least", "most"]].tolist() == pytest.approx([2, 4], abs=0.3)
    assert rows["rank"].to_dict() == {"1111": 1.5, "0010": 1.5, "none": 3.0}
    assert rows.loc["none", ["rank_low", "rank_high"]].tolist() == [3, 3]
    assert "perplexity: lower is better" in found.notes
    for word in ("0010", "1111"):
        parts = [
            (group.difference(word, "none"), MARGINS[group.metric.name]) for group in found.groups
        ]
        squares = np.array([(part.error / unit / 2) ** 2 for part, unit in parts])
        freedoms = np.array([part.df for part, _ in parts])
        df = squares.sum() ** 2 / (squares**2 / freedoms).sum()
        low, high = stats.t.interval(0.95, df, rows.loc[word, "gain"], math.sqrt(squares.sum()))
        assert rows.loc[word, ["low", "high"]].tolist() == pytest.approx([low, high])


def test_chances_and_ranks_over_groups_are_means_of_bounds_at_a_shared_level():
    rng = np.random.default_rng(9)
    frames = [
        world({"none": 15.0, "0010": 15.5, "1111": 16.5}, sd=0.5, seeds=4, rng=rng, sites=sites)
        for sites in ("encoder", "decoder", "cross")
    ]
    found = ranking(several(*frames), MARGINS)
    row = found.rows.set_index("mechanism").loc["1111"]
    level = 1 - 0.05 / 3
    chances = [improvement(group.model, "1111", "none", 1, level) for group in found.groups]
    columns = ["improvement", "improvement_low", "improvement_high"]
    assert row[columns].tolist() == pytest.approx(np.mean(chances, axis=0).tolist())
    ranked = np.mean([ranks(g.model, found.words, 1, level) for g in found.groups], axis=0)
    place = found.words.index("1111")
    assert row[["rank", "rank_low", "rank_high"]].tolist() == ranked[:, place].tolist()
    assert any("98.33 % each" in note for note in found.notes)


def test_what_not_all_groups_have_is_left_out_and_named():
    whole = world({"none": 15.0, "0010": 16.0, "1111": 18.0}, sd=0.1)
    part = world({"0000": 5.0, "0010": 16.0, "1111": 18.0}, sd=0.1, sites="cross")
    odd = world({"none": 0.5, "0010": 0.6}, sd=0.1, task="of nobody", metric="accuracy")
    found = ranking(several(whole, part, odd), MARGINS, named=["none", "1111"])
    assert (found.baseline, set(found.words)) == ("1111", {"0010", "1111"})
    assert found.left_out == (
        "of nobody · pairs · encoder: no margin is agreed for accuracy; give one: "
        "--margin accuracy=VALUE",
        "mechanisms that not all groups can compare with 1111: 0000 (1 of 2), none (1 of 2)",
    )
    over_none = ranking(several(whole, part), MARGINS, "none")
    assert [group.sites for group in over_none.groups] == ["encoder"]
    assert over_none.left_out == ("translation · pairs · cross: no run of the baseline, none",)


def test_a_baseline_that_nobody_or_not_everybody_has_is_an_error_with_the_way_out():
    whole = world({"none": 15.0, "0010": 16.0}, sd=0.1)
    part = world({"0000": 5.0, "0010": 16.0, "1111": 18.0}, sd=0.1, sites="cross")
    with pytest.raises(StudyError, match=r"did you mean 'none'"):
        ranking(several(whole, part), MARGINS, "nnone")
    with pytest.raises(StudyError, match=r"choose one of 0010: --baseline WORD"):
        ranking(several(whole, part), MARGINS)
    with pytest.raises(StudyError, match="no mechanism but 0010 has runs in all 2 groups"):
        ranking(several(whole, part), MARGINS, "0010")


def test_a_mean_of_opposite_gains_is_told():
    rng = np.random.default_rng(2)
    up = world({"none": 15.0, "0010": 18.0, "1111": 18.0}, sd=0.1, rng=rng)
    down = world({"none": 15.0, "0010": 12.0, "1111": 18.0}, sd=0.1, rng=rng, sites="cross")
    (note,) = [n for n in ranking(several(up, down), MARGINS).notes if "worse in another" in n]
    assert "0010 (+" in note
    assert "1111" not in note


def test_one_seed_leaves_estimates_alone():
    found = ranking(several(world({"none": 15.0, "0010": 18.0}, seeds=1)), MARGINS)
    row = found.rows.set_index("mechanism").loc["0010"]
    assert (row["gain"], row["rank"]) == (6, 1)
    assert row[["low", "high", "rank_low", "improvement", "improvement_low"]].isna().all()
    assert any(note.startswith("no interval of a gain") for note in found.notes)


# Rates


@pytest.mark.parametrize("test", TESTS)
def test_intervals_hold_the_truth_where_all_scatter_alike(test):
    count = 2000
    for seeds in (2, 3, 5):
        now, _ = rates(test, "all scatter alike", seeds, count)
        assert now >= 0.95 - 3 * math.sqrt(0.05 * 0.95 / count)


def test_intervals_hold_where_one_scatters_more_and_by_one_variance_they_do_not():
    scattered = [*WORLDS][1]
    for test in TESTS:
        now, before = rates(test, scattered, 3, 2000)
        assert now >= 0.94
        assert before < now - 0.1
