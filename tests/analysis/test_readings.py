"""From the words of a claim to comparisons, where some cannot be made."""

from __future__ import annotations

import math

import pytest
from worlds import world

from analysis.stats.claims import judge
from analysis.stats.group import groups


def verdict_of(frame, claim):
    (verdict,) = judge(groups(frame), [claim])
    return verdict


def test_a_rival_of_unknown_cost_leaves_the_front_untested(mine):
    frame = world({"0010": 20.0, "none": 15.0, "1111": 25.0}, sd=0.01)
    claim = mine("      - pareto: 0010")
    frame.loc[frame["mechanism"] == "1111", "model_macs"] = 2e8
    assert verdict_of(frame, claim).verdict == "supported"
    frame.loc[frame["mechanism"] == "1111", "model_macs"] = math.nan
    verdict = verdict_of(frame, claim)
    assert (verdict.verdict, verdict.reason) == ("not tested", "MACs of 1111 are not known")


def test_a_range_at_which_both_sides_are_one_mechanism_is_passed_over(mine):
    frame = world({"0100@1": 20.0, "0100@3": 22.0, "0100@7": 24.0, "none": 15.0}, sd=0.01)
    claim = mine("      - greater: {0100@widest: 1, 0100@k: -1}")
    verdict = verdict_of(frame, claim)
    assert verdict.verdict == "supported"
    assert len(verdict.outcomes) == 2
    alone = world({"0100@7": 24.0, "none": 15.0}, sd=0.01)
    reason = verdict_of(alone, claim).reason
    assert reason == "0100@widest and 0100@k are one mechanism here"


@pytest.mark.parametrize("kind", ["equivalent", "greater"])
def test_two_words_for_one_mechanism_are_no_comparison(mine, kind):
    frame = world({"dynamic": 20.0, "none": 15.0}, sd=0.01)
    claim = mine(f"      - {kind}: {{dynamic: 1, dynamic@1: -1}}")
    verdict = verdict_of(frame, claim)
    assert verdict.verdict == "not tested"
    assert verdict.reason == "dynamic and dynamic@1 are one mechanism here"
