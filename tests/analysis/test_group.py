"""One group, one estimator: what tables, comparisons, effects and verdicts show are its numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from worlds import world

from analysis.paper import comparison
from analysis.stats.claimfile import Claim, Comparison
from analysis.stats.claims import judge
from analysis.stats.effects import TERM_SETS, effects
from analysis.stats.group import groups
from analysis.tables.columns import columns

BASELINE = "none"


@pytest.fixture
def uneven():
    """The factorial and `none`, in which one mechanism in three lacks a seed or two."""
    rng = np.random.default_rng(11)
    means = {word: 20 + rng.normal() for word in (BASELINE, *TERM_SETS)}
    frame = world(means, seeds=4, sd=0.4, block=2, rng=rng)
    lacking = {("0010", 0), ("0110", 3), ("0111", 1), ("1000", 0), ("1000", 2), ("1110", 3)}
    lacking |= {("1111", seed) for seed in (0, 1, 2)} | {(BASELINE, 1)}
    cells = zip(frame["mechanism"], frame["seed"], strict=True)
    (group,) = groups(frame[[cell not in lacking for cell in cells]], BASELINE)
    return group


def claim_of(word):
    test = Comparison(greater={word: 1.0, BASELINE: -1.0})
    words = {"statement": "Better.", "source": "us", "tasks": ["translation"]}
    return Claim(id=word, attention="self", tests=[test], margins={"BLEU": 0.5}, **words)


def test_table_model_verdict_and_comparison_have_the_same_difference_and_interval(uneven):
    rows = uneven.rows.set_index("mechanism")
    words = [word for word in rows.index if word != BASELINE]
    assert len(words) == 16
    verdicts = {v.claim.id: v for v in judge([uneven], map(claim_of, words))}
    for word in words:
        estimate = uneven.model.contrast({word: 1, BASELINE: -1})
        verdict, row = verdicts[word], comparison.row(uneven, word, BASELINE)
        for shown in (rows.loc[word, "difference"], verdict.effect, row["difference"]):
            assert shown == pytest.approx(estimate.effect, abs=1e-12), word
        for half in (rows.loc[word, "difference_half_width"], row["difference_half_width"]):
            if estimate.n < 2:  # too few seeds of their own: no view shows an interval
                assert np.isnan([half, verdict.low, verdict.high]).all(), word
                continue
            low, high = estimate.interval(0.95)
            assert half == pytest.approx((high - low) / 2, abs=1e-12), word
            assert (verdict.low, verdict.high) == pytest.approx(estimate.interval(0.9), abs=1e-12)
        assert rows.loc[word, "pairs"] == verdict.n == estimate.n
    assert rows.loc["1111", "pairs"] == 1


def test_an_effect_is_the_same_contrast_of_the_table_s_differences(uneven):
    (factorial,) = effects([uneven])
    shown = uneven.rows.set_index("mechanism")["difference"]
    for name, effect in factorial.rows.set_index("name")["effect"].items():
        if name == "module":
            expected = shown[list(TERM_SETS)].mean()
        else:
            first, *second = (int(term[1]) - 1 for term in name.split("×"))
            on = [word[first] == "1" for word in TERM_SETS]
            if second:
                on = [(word[first] == "1") == (word[second[0]] == "1") for word in TERM_SETS]
            signs = np.where(on, 1 / 8, -1 / 8)
            expected = signs @ shown[list(TERM_SETS)]
        assert effect == pytest.approx(expected, abs=1e-12), name


def test_seeds_that_a_mechanism_lacks_are_adjusted_for_as_in_a_least_squares_fit(uneven):
    """Against numpy's own solution of the normal equations."""
    done = uneven.done
    words, seeds = sorted(set(done["mechanism"])), sorted(set(done["seed"]))
    design = np.array(
        [
            [*(m == word for word in words), *(s == seed for seed in seeds[1:])]
            for m, s in zip(done["mechanism"], done["seed"], strict=True)
        ],
        dtype=float,
    )
    solution = np.linalg.lstsq(design, done["value"].to_numpy(), rcond=None)[0]
    shown = uneven.rows.set_index("mechanism")["difference"]
    for word in words:
        expected = solution[words.index(word)] - solution[words.index(BASELINE)]
        assert shown[word] == pytest.approx(expected, abs=1e-10)


def test_the_text_of_a_table_is_its_rows(uneven):
    text = columns(uneven)
    rows = uneven.rows.set_index("mechanism")
    shown = dict(zip(text["", "mechanism"], text["Δ none", ""], strict=True))
    reach = dict(zip(text["", "mechanism"], text["Δ none", "±"], strict=True))
    assert shown["0110"] == f"{rows.loc['0110', 'difference']:+.2f}"
    assert reach["0110"] == f"{rows.loc['0110', 'difference_half_width']:.2f}"
    assert reach["1111"] == "-"


def test_nothing_is_worked_out_before_it_is_asked_for():
    (group,) = groups(world({"0010": 20.0, BASELINE: 19.0}), BASELINE)
    assert "model" not in vars(group)
    assert group.model is group.model
    assert group.difference("0010", BASELINE).effect == pytest.approx(1)
    assert math.isnan(group.difference("0010", "0001").effect)


def test_mechanisms_that_share_no_seed_are_compared_through_others_without_an_interval():
    frame = world({"0010": 21.0, BASELINE: 20.0, "0001": 20.5}, seeds=2, sd=0.1, block=3)
    cells = [("0010", 0), (BASELINE, 1)]
    there = [(m, s) not in cells for m, s in zip(frame["mechanism"], frame["seed"], strict=True)]
    (group,) = groups(frame[there], BASELINE)
    row = group.rows.set_index("mechanism").loc["0010"]
    value = frame.set_index("id")["value"]
    assert row["difference"] == pytest.approx(
        value["0010-s1"] - value["0001-s1"] + value["0001-s0"] - value["none-s0"]
    )
    assert row["pairs"] == 0
    assert math.isnan(row["difference_half_width"])
