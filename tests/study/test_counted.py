"""A cost is counted once, and again when anything that it depends on is another."""

from __future__ import annotations

import json

import pytest
from toy import study


@pytest.fixture
def plan(toy):
    """Return a function that plans a grid and returns the MACs of its first run."""

    def plan(**recipe) -> int:
        grid = toy(
            f"""
            task: toy
            recipe: {json.dumps(recipe)}
            product: {{mechanism: [1111]}}
            seeds: [0, 1]
            """
        )
        asked = study("plan", grid, "--json")
        assert asked.returncode == 0, asked.stderr
        (cost, same) = (run["cost"]["model"]["macs"] for run in json.loads(asked.stdout)["runs"])
        assert cost == same
        return cost

    return plan


@pytest.fixture
def kept(tmp_path):
    """Return a function that lists what is remembered."""
    return lambda: sorted(tmp_path.glob("data/.costs/*.json"))


def test_what_was_counted_is_not_counted_again(plan, kept):
    assert plan() == 100
    (file,) = kept()
    # Only a cost that was read from there can be this one.
    file.write_text(file.read_text().replace("100", "123"))
    assert plan() == 123


def test_another_recipe_and_another_code_are_counted_anew(plan, kept, tmp_path):
    plan()
    plan(epochs=7)
    assert len(kept()) == 2
    code = tmp_path / "site/toytask/train.py"
    code.write_text(code.read_text().replace('"macs": 100', '"macs": 50'))
    assert plan() == 50


def test_a_torn_file_is_counted_anew(plan, kept):
    plan()
    (file,) = kept()
    file.write_text(file.read_text()[:20])
    assert plan() == 100


def test_without_a_place_for_it_all_is_counted(plan, kept, tmp_path):
    (tmp_path / "data/.costs").write_text("no folder")
    assert plan() == 100
    assert not kept()
