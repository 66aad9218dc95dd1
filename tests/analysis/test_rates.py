"""Simulated tables: the rates of verdicts are those that the pages promise."""

from __future__ import annotations

import csv
import math

import pytest
from toy import study

from analysis.stats.aggregates import rates as aggregates
from analysis.stats.rates import SEEDS, SIGHTS, WORLDS, rates, sighted


@pytest.mark.parametrize("world", WORLDS[:2], ids=lambda world: world.kind)
def test_where_all_scatter_alike_no_verdict_errs_more_often_than_its_level(world):
    count = 200
    now, before = rates(world, 3, count)
    assert now <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / count)
    assert now <= before  # the error is the larger of two


@pytest.mark.parametrize("world", WORLDS[2:7], ids=lambda world: world.name)
def test_unequal_scatter_and_shared_luck_refute_less_often_than_by_one_variance(world):
    now, before = rates(world, 3, 100)
    assert now <= before / 2
    assert now <= 0.12


@pytest.mark.parametrize("sight", SIGHTS, ids=lambda sight: sight.name)
def test_what_is_printed_as_detectable_is_seen_in_80_of_100_other_tables(sight):
    count = 1000
    assert sighted(sight, 3, count) >= 0.8 - 3 * math.sqrt(0.8 * 0.2 / count)


def test_the_verb_writes_a_row_for_each_world_and_number_of_seeds(tmp_path):
    done = study("bench", "verdicts", "--tables", "1", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "verdicts.csv").open() as file:
        rows = list(csv.DictReader(file))
    worlds = len(WORLDS) + len(SIGHTS) + len(aggregates.TESTS) * len(aggregates.WORLDS)
    assert len(rows) == worlds * len(SEEDS)
    assert {row["rate"] for row in rows} <= {"0.0", "1.0"}
    assert {row["tables"] for row in rows} == {"1"}
