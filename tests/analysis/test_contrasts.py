"""The model of contrasts, against scipy's tests and against its promises in repeated tables."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import statsmodels.formula.api as smf
from scipy import stats
from worlds import world

from analysis.runs.collect import COLUMNS
from analysis.stats.group import cautions, groups
from analysis.stats.model import Model
from study.errors import StudyError

THREE = {"0010": 20.0, "0110": 21.0, "1111": 23.0}
SIX = THREE | {"0001": 18.0, "0100": 19.0, "1000": 20.0}


def without(frame, *cells):
    keep = [(m, s) not in cells for m, s in zip(frame["mechanism"], frame["seed"], strict=True)]
    return frame[keep]


@pytest.mark.parametrize("alone", [(), (("0010", 3), ("0010", 4), ("1111", 0))])
def test_two_mechanisms_give_the_paired_t_test_of_the_common_seeds(alone):
    frame = without(
        world({"0010": 20, "1111": 21}, seeds=5, sd=0.7, block=2, rng=np.random.default_rng(7)),
        *alone,
    )
    table = frame.pivot(index="seed", columns="mechanism", values="value").dropna()
    paired = stats.ttest_rel(table["1111"], table["0010"])
    estimate = Model(frame).contrast({"1111": 1, "0010": -1})
    low, high = paired.confidence_interval(0.95)
    assert estimate.effect == pytest.approx((table["1111"] - table["0010"]).mean())
    assert estimate.p == pytest.approx(paired.pvalue)
    assert estimate.interval(0.95) == pytest.approx((low, high))
    assert estimate.df == paired.df


def test_with_missing_seeds_it_is_the_additive_regression_with_the_larger_error():
    """Against statsmodels' own ordinary and HC3 errors."""
    seen = set()
    for seed in range(40):
        frame = without(
            world(SIX, seeds=4, sd=0.5, block=1, rng=np.random.default_rng(seed)),
            ("0010", 0),
            ("1111", 2),
        )
        fit = smf.ols("value ~ C(mechanism) + C(seed)", frame).fit()
        words = ("0110", "0010", "1111")
        contrast = "2 * {} - {} - {} = 0".format(*(f"C(mechanism)[T.{word}]" for word in words))
        plain, own = (
            each.t_test(contrast).sd.item() for each in (fit, fit.get_robustcov_results("HC3"))
        )
        estimate = Model(frame).contrast({"0110": 2, "0010": -1, "1111": -1})
        assert estimate.effect == pytest.approx(fit.t_test(contrast).effect.item())
        assert estimate.error == pytest.approx(max(plain, own))
        assert (estimate.df, estimate.n) == (fit.df_resid, 2)  # seeds 1 and 3
        low, high = estimate.interval(0.9)
        half = stats.t.ppf(0.95, fit.df_resid) * max(plain, own)
        assert (high - low) / 2 == pytest.approx(half)
        seen.add(own > plain)
    assert seen == {True, False}


def test_all_mechanisms_tell_of_the_scatter():
    """A pair that scatters less has the pooled error; (6 - 1) (4 - 1) = 15 degrees of freedom."""
    frame = world(SIX, seeds=4, block=1)
    noise = {"0110": [0.1, -0.1, 0.1, -0.1], "1111": [3.0, -3.0, -3.0, 3.0]}
    for word, own in noise.items():
        frame.loc[frame["mechanism"] == word, "value"] += own
    table = frame.pivot(index="seed", columns="mechanism", values="value")
    centred = table.sub(table.mean(axis=1), axis=0)
    pooled = centred.sub(centred.mean()).pow(2).to_numpy().sum() / 15
    pair = Model(frame).contrast({"0110": 1, "0010": -1})
    assert pair.df == 15
    assert pair.error == pytest.approx(math.sqrt(pooled * 2 / 4))


@pytest.mark.filterwarnings("error")
def test_a_difference_of_seeds_is_no_difference_of_mechanisms():
    frame = without(world(THREE, seeds=2, sd=0.1, block=5), ("0010", 0), ("0110", 1), ("1111", 1))
    assert math.isnan(Model(frame).contrast({"0010": 1, "0110": -1}).effect)
    linked = Model(frame).contrast({"1111": 1, "0110": -1})
    assert linked.effect == pytest.approx(
        frame.loc[frame["mechanism"] == "1111", "value"].item()
        - frame.loc[frame["mechanism"] == "0110", "value"].item()
    )


def test_one_seed_gives_an_estimate_and_no_interval():
    estimate = Model(world(THREE, seeds=1)).contrast({"1111": 1, "0010": -1})
    assert estimate.effect == pytest.approx(3)
    assert estimate.df == 0
    assert np.isnan([estimate.error, estimate.p, *estimate.interval(0.95)]).all()


def test_runs_without_any_scatter_give_a_point():
    estimate = Model(world(THREE, seeds=2)).contrast({"1111": 1, "0010": -1})
    assert estimate.interval(0.95) == pytest.approx((3, 3), abs=1e-9)
    assert estimate.p == pytest.approx(0)


@pytest.mark.parametrize(
    ("seeds", "gaps"), [(2, ()), (5, ()), (3, (("0010", 0), ("0110", 1), ("0110", 2)))]
)
def test_95_of_100_intervals_hold_the_truth(seeds, gaps):
    rng, count, hits = np.random.default_rng(12), 600, 0
    frame = without(world(THREE, seeds=seeds), *gaps)
    truth, shift = frame["value"], frame["seed"]
    for _ in range(count):
        noise = rng.normal(0, 0.4, len(frame))
        frame["value"] = truth + rng.normal(0, 3, seeds)[shift] + noise
        estimate = Model(frame).contrast({"1111": 1, "0110": -0.5, "0010": -0.5})
        low, high = estimate.interval(0.95)
        hits += low < 2.5 < high
    assert hits / count == pytest.approx(0.95, abs=3.3 * math.sqrt(0.95 * 0.05 / count))


def test_a_mechanism_that_scatters_ten_times_as_much_is_named_and_chance_is_not():
    rng = np.random.default_rng(5)
    words = dict.fromkeys(("0001", "0010", "0011", "0100"), 20.0)
    said = [Model(world(words, seeds=3, sd=1, rng=rng)).spread != "" for _ in range(200)]
    assert np.mean(said) <= 0.03  # the level is 1 %
    frame = world(words, seeds=3, sd=0.1, rng=rng)
    frame.loc[frame["mechanism"] == "0100", "value"] += [3.0, -2.0, 0.5]
    assert Model(frame).spread.startswith("0100 scatters")
    pair = frame[frame["mechanism"].isin(["0100", "0001"])]
    assert Model(pair).spread == ""


@pytest.mark.parametrize("gaps", [(), (("0110", 0), ("1111", 2), ("1111", 3))])
def test_the_scatter_is_compared_with_a_fit_without_the_mechanism(gaps):
    frame = world(THREE | {"none": 18}, seeds=5, sd=0.1, rng=np.random.default_rng(4))
    frame.loc[frame["mechanism"] == "1111", "value"] += [4, -3, 2, 1, -5]
    frame = without(frame, *gaps)
    fits = [
        smf.ols("value ~ C(mechanism) + C(seed)", rows).fit()
        for rows in (frame[frame["mechanism"] != "1111"], frame)
    ]
    added = (fits[1].ssr - fits[0].ssr) / (fits[1].df_resid - fits[0].df_resid)
    ratio = math.sqrt(added / fits[0].mse_resid)
    assert f"1111 scatters {ratio:.1f} times as much" in Model(frame).spread


def test_cautions_name_what_differs_between_runs_and_what_learned_nothing():
    frame = world(THREE, seeds=2, sd=0.1).assign(commit="aaaa")
    assert cautions(groups(frame)) == []
    frame.loc[frame["mechanism"] == "1111", "data_card"] = "pairs: 50 sentences"
    frame.loc[frame["id"].isin(["0010-s1", "1111-s1"]), "commit"] = None
    frame.loc[frame["id"] == "0110-s1", "value"] = -1
    title = "translation · pairs · encoder: "
    why = " by mechanism, so that a difference may be due to that: "
    *notes, spread = cautions(groups(frame))
    assert spread.startswith(f"{title}0110 scatters ")
    assert notes == [
        f"{title}DIFFERENT data{why}"
        "pairs: 100 sentences, 100% real: 0010, 0110; pairs: 50 sentences: 1111",
        f"{title}DIFFERENT commits of the code{why}aaaa: 0010 (1 of 2 seeds), 0110, "
        "1111 (1 of 2 seeds); unknown: 0010 (1 of 2 seeds), 1111 (1 of 2 seeds)",
        f"{title}not above the metric of the untrained network: 0110 seed 1 (-1.00, "
        "untrained 0.00)",
    ]


def test_code_that_no_commit_describes_and_devices_are_told_by_mechanism():
    frame = world(THREE, seeds=2, sd=0.1).assign(commit="aaaa", code=None, device="cpu")
    assert cautions(groups(frame)) == []
    frame.loc[frame["mechanism"] == "1111", ["code", "device"]] = ["0a1b", "NVIDIA T4"]
    title = "translation · pairs · encoder: "
    why = " by mechanism, so that a difference may be due to that: "
    assert cautions(groups(frame)) == [
        f"{title}DIFFERENT uncommitted code{why}0a1b: 1111; as committed: 0010, 0110",
        f"{title}DIFFERENT devices{why}NVIDIA T4: 1111; cpu: 0010, 0110",
    ]


def test_contents_of_data_and_of_packages_are_told_whoever_saw_them():
    frame = world(THREE, seeds=2, sd=0.1).assign(data_content="a" * 64, packages=None)
    frame.loc[frame["mechanism"] == "0110", "packages"] = "guest=1111"  # the others are not from it
    assert cautions(groups(frame)) == []
    frame.loc[frame["seed"] == 1, "data_content"] = "b" * 64
    frame.loc[frame["id"] == "0110-s1", "packages"] = "guest=2222; other=1"
    title = "translation · pairs · encoder: "
    assert cautions(groups(frame)) == [
        f"{title}runs of 2 contents of pairs, which are not comparable: {'a' * 12}: 0010, 0110,"
        f" 1111; {'b' * 12}: 0010, 0110, 1111",
        f"{title}runs of 2 contents of the package guest, which are not comparable: 1111: 0110;"
        " 2222: 0110",
    ]


def test_seeds_trained_with_other_code_are_no_caution_where_all_mechanisms_have_them():
    frame = world(THREE, seeds=4, sd=0.1)
    frame["commit"] = frame["seed"].map(lambda seed: "aaaa" if seed < 2 else "bbbb")
    assert cautions(groups(frame)) == []


def test_code_that_is_new_in_other_seeds_of_one_mechanism_is_told():
    """In four of five seeds of one, in one of five of the others."""
    frame = world(THREE, seeds=5, sd=0.1).assign(commit="aaaa")
    new = (frame["mechanism"] == "1111") & (frame["seed"] > 0)
    frame.loc[new | (frame["seed"] == 4), "commit"] = "bbbb"
    (note,) = cautions(groups(frame))
    assert "aaaa: 0010 (4 of 5 seeds), 0110 (4 of 5 seeds), 1111 (1 of 5 seeds); bbbb: " in note


def test_groups_are_those_of_the_tables():
    frame = pd.concat(
        [
            world({"0010": 1, "1111": 2}, sites="conv4.conv5", task="detection"),
            world({"0010": 1}, sites="conv5", task="detection"),
            world({"none": 0}, sites="", task="detection"),
            world({"0010": 3}, recipe='{"epochs":9}'),
            world({"0010": 4}),
            world({"0110": 4}, state="running", value=math.nan),
        ],
        ignore_index=True,
    ).reindex(columns=list(COLUMNS))
    frame = frame.assign(id=[str(i) for i in frame.index], input_shape="8", uncounted="")
    expected = [
        (s.title, dict(zip(s.rows["mechanism"], s.rows["n"], strict=True)))
        for s in groups(frame)
        if s.rows["n"].any()
    ]
    got = [(group.title, group.seeds) for group in groups(frame)]
    shown = [(title, {word: n for word, n in rows.items() if n}) for title, rows in expected]
    assert sorted(got, key=str) == sorted(shown, key=str)
    assert len(got) == 4
    assert ("detection · pairs · conv5", {"0010": 3, "none": 3}) in got


def test_two_runs_of_one_cell_and_two_metrics_are_refused():
    frame = world({"0010": 1})
    with pytest.raises(StudyError, match="two runs of one cell: 0010-s0"):
        groups(pd.concat([frame, frame.head(1)]))
    frame.loc[0, "metric"] = "chrF"
    with pytest.raises(StudyError, match="different metrics: chrF, BLEU"):
        groups(frame)
