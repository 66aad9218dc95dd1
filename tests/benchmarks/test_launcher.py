"""The launcher's benchmark: both sides do the same work."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from study.benchmarks import launcher
from study.benchmarks.comparison import GOAL, Comparison, Timing, Training
from study.cli import app
from study.grid.reading import load


def test_the_trainings_are_those_of_the_demo_with_its_recipe():
    demo = load(Path(__file__).parents[2] / "grids/demo/detection.yaml").runs()
    assert {training.mechanism for training in launcher.trainings(quick=False)} <= {
        r.mechanism for r in demo
    }
    assert len(launcher.trainings(quick=False)) == 12
    recipe = demo[0].science["recipe"]
    assert all(recipe[key] == value for key, value in launcher.RECIPE.items())


@pytest.mark.parametrize(("share", "met"), [(GOAL, True), (GOAL + 0.01, False)])
def test_the_goal_is_a_share_of_the_loops_time(share, met):
    ours, theirs = (Timing(wall, 150.0, 1.0) for wall in (100 * share, 100.0))
    found = Comparison(2, ours, theirs, {}, {})
    assert found.met is met
    titles = [table.title for table in launcher.tables(found, judge=True)]
    assert titles == ["trainings", "wall time"]
    assert not found.disturbed
    assert Comparison(2, ours, Timing(100.0, 150.0, 6.0), {}, {}).disturbed


@pytest.mark.data
@pytest.mark.train
def test_both_sides_end_with_the_same_weights(tmp_path):
    result = CliRunner().invoke(app, ["bench", "launcher", "--quick", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output or result.exception
    frame = pd.read_csv(tmp_path / "launcher-quick.csv", dtype={"mechanism": str})
    assert [Training(m, s) for m, s in zip(frame.mechanism, frame.seed, strict=True)] == (
        launcher.trainings(quick=True)
    )
    assert frame["same_weights"].all()
    assert (frame["ours_first_loss"] == frame["theirs_first_loss"]).all()
    assert (frame["iterations"] > 10).all()
    assert frame["ratio"].tolist() == (frame.ours_seconds / frame.theirs_seconds).tolist()
