"""The statistics, against scipy's t tests and the textbook formulas computed here by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.runs.collect import collect
from analysis.stats.group import groups
from analysis.stats.means import half_width
from study.errors import StudyError
from study.runs.folder import RunFolder

SITES = ("conv4", "conv5")


def rows_of(summary):
    return summary.rows.set_index("mechanism")


def frame_of(*folders):
    return collect(RunFolder(folder) for folder in folders)


def test_the_interval_is_the_tabulated_quantile_times_the_standard_error():
    values = [0.31, 0.36, 0.32, 0.39, 0.30]
    # 2.776445 is t(0.975; 4) in every printed table.
    expected = 2.776445105 * np.std(values, ddof=1) / np.sqrt(5)
    assert half_width(values) == pytest.approx(expected, rel=1e-9)
    assert half_width([0.1, 0.2]) == pytest.approx(12.7062047 * 0.05, rel=1e-7)


def test_one_seed_has_no_interval():
    assert math.isnan(half_width([0.3]))


def test_means_and_paired_differences_over_the_common_seeds(make_run):
    none = {0: 0.30, 1: 0.34, 2: 0.29}
    other = {1: 0.35, 2: 0.36, 3: 0.90}
    frame = frame_of(
        *(make_run("none", seed, value, macs=0) for seed, value in none.items()),
        *(make_run("0110", seed, value) for seed, value in other.items()),
    )
    (summary,) = groups(frame, "none")
    rows = rows_of(summary)
    assert rows.loc["0110", "n"] == 3
    assert rows.loc["0110", "mean"] == pytest.approx(np.mean(list(other.values())))
    # Seed 3 has no partner: 0.90 must not enter the difference.
    assert rows.loc["0110", "difference"] == pytest.approx(((0.35 - 0.34) + (0.36 - 0.29)) / 2)
    assert rows.loc["none", "difference"] == 0
    assert rows.loc["none", "half_width"] == pytest.approx(
        4.30265273 * np.std([0.30, 0.34, 0.29], ddof=1) / np.sqrt(3), rel=1e-8
    )


def test_intervals_are_those_of_scipys_t_tests(make_run):
    rng = np.random.default_rng(0)
    one, other = 0.3 + 0.02 * rng.standard_normal((2, 7))
    frame = frame_of(
        *(make_run("none", seed, value, macs=0) for seed, value in enumerate(one)),
        *(make_run("0110", seed, value) for seed, value in enumerate(other)),
    )
    row = rows_of(groups(frame, "none")[0]).loc["0110"]
    low, high = stats.ttest_1samp(other, 0).confidence_interval(0.95)
    assert (row["mean"], row["half_width"]) == pytest.approx(((low + high) / 2, (high - low) / 2))
    low, high = stats.ttest_rel(other, one).confidence_interval(0.95)
    assert row["difference"] == pytest.approx((low + high) / 2)
    assert row["difference_half_width"] == pytest.approx((high - low) / 2)
    assert row["pairs"] == 7


def test_a_seed_that_only_one_of_two_has_enters_neither_the_difference_nor_its_interval(make_run):
    none = {0: 0.30, 1: 0.34, 2: 0.29, 5: 0.10}
    other = {1: 0.35, 2: 0.36, 3: 0.90, 5: 0.12}
    frame = frame_of(
        *(make_run("none", seed, value, macs=0) for seed, value in none.items()),
        *(make_run("0110", seed, value) for seed, value in other.items()),
    )
    row = rows_of(groups(frame, "none")[0]).loc["0110"]
    low, high = stats.ttest_rel([0.35, 0.36, 0.12], [0.34, 0.29, 0.10]).confidence_interval(0.95)
    assert (row["n"], row["pairs"]) == (4, 3)
    assert row["difference_half_width"] == pytest.approx((high - low) / 2)


def test_the_baseline_has_no_difference_to_estimate(make_run):
    frame = frame_of(*(make_run("none", seed, 0.3 + seed / 100) for seed in (0, 1)))
    row = rows_of(groups(frame, "none")[0]).loc["none"]
    assert row["difference"] == 0
    assert math.isnan(row["difference_half_width"])


def test_without_a_common_seed_or_a_baseline_there_is_no_difference(make_run):
    frame = frame_of(make_run("none", 0, 0.3), make_run("0110", 1, 0.4))
    (summary,) = groups(frame, "none")
    assert math.isnan(rows_of(summary).loc["0110", "difference"])
    (summary,) = groups(frame)
    assert summary.rows["difference"].isna().all()


def test_the_baseline_comes_first_and_the_others_in_the_order_of_the_grid(make_run):
    frame = frame_of(*(make_run(m, 0, 0.3) for m in ("0010", "1111", "none")))
    expected = [("detection", SITES, m, 0) for m in ("1111", "0010", "none", "dynamic")]
    (summary,) = groups(frame, "none", expected)
    assert summary.rows["mechanism"].tolist() == ["none", "1111", "0010", "dynamic"]


def test_each_place_has_a_summary_of_its_own(make_run):
    frame = frame_of(
        make_run("0010", 0, 0.3),
        make_run("0010", 0, 0.2, sites=("conv5",)),
        make_run("0010", 0, 21.0, task="translation", sites=("self",), metric="BLEU"),
    )
    got = {(s.task, s.data, s.sites, s.metric.name, s.rows["mean"].item()) for s in groups(frame)}
    assert got == {
        ("detection", "trees", "conv4.conv5", "mAP", 0.3),
        ("detection", "trees", "conv5", "mAP", 0.2),
        ("translation", "trees", "self", "BLEU", 21.0),
    }


def test_runs_of_different_recipes_or_code_versions_are_not_averaged(make_run):
    frame = frame_of(
        make_run("0010", 0, 0.3),
        make_run("0010", 1, 0.5, recipe={"epochs": 16}),
        make_run("0010", 2, 0.7, version=2),
    )
    got = {(s.variant, s.rows["mean"].item(), s.rows["n"].item()) for s in groups(frame)}
    assert got == {
        ("epochs=8, version=1", 0.3, 1),
        ("epochs=16, version=1", 0.5, 1),
        ("epochs=8, version=2", 0.7, 1),
    }


def test_a_baseline_without_sites_is_compared_at_all_of_them(make_run):
    frame = frame_of(
        make_run("none", 0, 0.2, sites=()),
        make_run("0010", 0, 0.3),
        make_run("0010", 0, 0.25, sites=("conv5",)),
    )
    got = {s.sites: rows_of(s).loc["0010", "difference"] for s in groups(frame, "none")}
    assert got == {"conv4.conv5": pytest.approx(0.1), "conv5": pytest.approx(0.05)}


def test_missing_runs_are_rows_without_numbers_and_are_named(make_run):
    frame = frame_of(make_run("none", 0, 0.3), make_run("0010", 0, 0.3), make_run("0001", 4, None))
    expected = [("detection", SITES, m, s) for m in ("none", "0010", "1111") for s in (0, 1)]
    (summary,) = groups(frame, "none", expected)
    rows = rows_of(summary)
    assert rows["n"].to_dict() == {"none": 1, "0010": 1, "1111": 0, "0001": 0}
    assert rows["asked"].to_dict() == {"none": 2, "0010": 2, "1111": 2, "0001": 1}
    assert rows.loc["1111"].drop(["n", "asked", "pairs"]).isna().all()
    assert summary.notes[-1] == (
        "missing: seed 1 of none, 0010; seeds 0, 1 of 1111; seed 4 of 0001"
    )


def test_a_run_that_finished_without_a_value_is_not_called_missing(make_run):
    values = {0: 0.3, 1: 0.4, 2: None}
    frame = frame_of(*(make_run("0010", s, value) for s, value in values.items()))
    frame.loc[frame["seed"] == 1, "value"] = math.nan  # as somebody may edit a table
    (summary,) = groups(frame)
    assert rows_of(summary).loc["0010", ["n", "asked"]].tolist() == [1, 3]
    assert summary.notes[-2:] == [
        "finished without a value of mAP, and left out: 0010 seed 1",
        "missing: seed 2 of 0010",
    ]


def test_a_place_where_nothing_has_finished_is_still_shown(make_run):
    frame = frame_of(make_run("0010", 0, 0.3))
    expected = [("detection", ("conv5",), "0010", 0)]
    places = {s.sites: s.rows["n"].tolist() for s in groups(frame, None, expected)}
    assert places == {"conv4.conv5": [1], "conv5": [0]}


def test_one_seed_in_every_row_is_said_and_two_in_one_row_silence_it(make_run):
    warning = "one seed: differences between rows cannot be told from noise"
    folders = [make_run("none", 0, 0.3), make_run("0010", 0, 0.4)]
    assert warning in groups(frame_of(*folders))[0].notes
    folders.append(make_run("0010", 1, 0.4))
    assert warning not in groups(frame_of(*folders))[0].notes


def test_training_that_did_not_raise_the_metric_is_said(make_run):
    values = {"0010": 0.009, "0001": 0.01, "1111": 0.011}
    frame = frame_of(*(make_run(m, 5, value, untrained=0.01) for m, value in values.items()))
    (note,) = [n for n in groups(frame)[0].notes if n.startswith("not above")]
    assert note == (
        "not above the metric of the untrained network: 0010 seed 5 (0.90, untrained 1.00), "
        "0001 seed 5 (1.00, untrained 1.00)"
    )


def test_notes_name_cards_shape_uncounted_operators_and_the_recipe_s_switches(make_run):
    uncounted = [{"aten._softmax": 55}, {"aten.exp": 40, "aten._softmax": 50, "aten.sum": 5}]
    frame = frame_of(
        *(
            make_run("0010", seed, 20.0, task="translation", metric="BLEU",
                     recipe={"tied": True, "absolute_positions": False}, uncounted=uncounted[seed])
            for seed in (0, 1)
        )
    )  # fmt: skip
    assert groups(frame)[0].notes == [
        "data: trees: 60 aerial images, 40 for training & 20 held out; 100% public_domain",
        "±: half the 95 % confidence interval of a mean, by its own n seeds (Student's t)",
        "1 multiply-accumulate = 1; at input shape 3×256×256; "
        "uncounted operators: softmax, exp, sum",
        "recipe: absolute positions off, tied on",
    ]


def test_small_uncounted_operators_are_told_by_their_number(make_run):
    elements = {"aten.mul": 900, "aten.add": 60, "aten.sum": 30, "aten.any": 10}
    (summary,) = groups(frame_of(make_run("0010", 0, 0.3, uncounted=elements)))
    assert (
        "uncounted operators: mul, add and 2 more of under 5 % of the elements each "
        "(all: column uncounted of study collect)"
    ) in summary.notes[1]


def test_two_runs_of_one_cell_are_refused(make_run):
    frame = frame_of(make_run("0010", 0, 0.3))
    both = pd.concat([frame, frame.assign(id="the-twin")])
    with pytest.raises(StudyError, match="the-twin"):
        groups(both)


def test_two_metrics_in_one_place_are_refused(make_run):
    frame = frame_of(make_run("0010", 0, 0.3), make_run("0010", 1, 0.3, metric="AP"))
    with pytest.raises(StudyError, match="AP"):
        groups(frame)
