"""The Pareto front, against its definition."""

from __future__ import annotations

import math
import random

import pytest

from analysis.figures.drawing.pareto import front


def dominated(index, cost, accuracy):
    """Whether another point is as good in both and better in one."""
    return any(
        c <= cost[index] and a >= accuracy[index] and (c < cost[index] or a > accuracy[index])
        for c, a in zip(cost, accuracy, strict=True)
    )


@pytest.mark.parametrize("seed", range(50))
def test_the_front_is_what_no_other_point_dominates_cheap_ones_first(seed):
    chance = random.Random(seed)
    # Few values, so that ties are common.
    cost = [chance.randint(0, 6) for _ in range(12)]
    accuracy = [chance.randint(0, 6) for _ in range(12)]
    expected = [i for i in range(12) if not dominated(i, cost, accuracy)]
    found = front(cost, accuracy)
    assert sorted(found) == expected
    assert [cost[i] for i in found] == sorted(cost[i] for i in found)


def test_a_point_without_cost_or_accuracy_is_not_on_the_front():
    assert front([1, math.nan, 0.5], [0.2, 0.9, math.nan]) == [0]
    assert front([math.nan], [math.nan]) == []
    assert front([], []) == []
