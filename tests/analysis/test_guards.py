"""Verdicts are taken back where runs were lost, or where the floor shows nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest
from worlds import world

from analysis.stats.claims import holm, judge, load
from analysis.stats.group import groups

EQUAL = "      - equivalent: {0111: 1, 1111: -1}"


def verdict_of(frame, claim):
    (verdict,) = judge(groups(frame), [claim])
    return verdict


def able():
    """Two sets alike, above none."""
    return world({"0111": 20.0, "1111": 20.0, "none": 15.0}, seeds=4, sd=0.01)


@pytest.mark.parametrize("state", ["failed", "oom"])
def test_failed_runs_on_one_side_alone_take_a_verdict_back(mine, state):
    frame = able()
    assert verdict_of(frame, mine(EQUAL)).verdict == "supported"
    gone = (frame["mechanism"] == "1111") & (frame["seed"] == 3)
    frame.loc[gone, ["state", "value"]] = state, float("nan")
    verdict = verdict_of(frame, mine(EQUAL))
    assert verdict.verdict == "inconclusive"
    assert "1 of 1111, more on one side than on the other" in verdict.reason
    (group,) = groups(frame)
    named = "1111 seed 3" + (f" ({state})" if state != "failed" else "")
    assert f"failed, and left out: {named}" in group.notes


@pytest.mark.parametrize("state", ["planned", "running", "preempted", "timeout", "killed"])
def test_runs_that_may_go_on_are_no_losses(mine, state):
    frame = able()
    gone = (frame["mechanism"] == "1111") & (frame["seed"] == 3)
    frame.loc[gone, ["state", "value"]] = state, float("nan")
    assert verdict_of(frame, mine(EQUAL)).verdict == "supported"


def test_a_floor_that_learned_nothing_does_not_show_what_there_was_to_lose(mine):
    frame = able()
    frame.loc[frame["mechanism"] == "none", "value"] = -0.1
    verdict = verdict_of(frame, mine(EQUAL))
    assert verdict.verdict == "inconclusive"
    assert "runs of none, which others must beat" in verdict.reason
    assert "are not above the untrained network" in verdict.reason
    assert verdict_of(frame, mine(EQUAL, chance="[none]")).verdict == "supported"


def test_an_outlier_of_the_floor_is_named_where_the_floor_is_asked(mine):
    frame = world({"0111": 20.0, "1111": 20.0, "none": 15.0}, seeds=6, sd=0.01)
    frame.loc[(frame["mechanism"] == "none") & (frame["seed"] == 5), "value"] = 1.0
    assert "none seed 5" in verdict_of(frame, mine(EQUAL)).reason
    gain = mine("      - greater: {0111: 1, 1111: -1}")
    assert "none seed 5" not in verdict_of(frame, gain).reason


def test_a_verdict_that_was_taken_back_counts_among_those_that_were_tried():
    frame = able()
    gains = world({"0010": 15.5}, seeds=4, sd=0.01)
    table = pd.concat([frame, gains], ignore_index=True)
    found = judge(groups(table), [claim for claim in load() if claim.id in ("1b", "3d")])
    first, second = found
    assert [each.verdict for each in found] == ["supported", "supported"]
    taken = replace(second, p=math.nan, verdict="inconclusive")
    assert holm([first, taken])[0] == pytest.approx(2 * first.p)
    assert math.isnan(holm([first, taken])[1])
    # What could not be tested was not tried.
    assert holm([first, replace(taken, verdict="not tested")])[0] == pytest.approx(first.p)
