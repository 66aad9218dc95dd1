"""The benchmark of training: steps are counted rightly, and compared with those beside them."""

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

from plugins.contracts.tasks import find_task
from study.benchmarks import training
from study.benchmarks.steps import WARM_UP, Turns
from study.benchmarks.training import AS_IS, Measured
from study.cli import app
from study.errors import StudyError
from study.grid.reading import load

GRIDS = Path(__file__).parents[2] / "grids"


def test_steps_that_begin_an_epoch_are_not_counted():
    told = []
    turns = Turns(2, told.append)
    for _ in range(WARM_UP):
        turns.after(0, 8)
    for epoch, items in ((0, 1), (1, 100), (1, 2), (1, 4), (2, 100), (2, 8)):
        turns.after(epoch, items)
    assert [taken["items"] for taken in told] == [8 * WARM_UP, 3, 12]
    assert all(taken["cpu"] >= 0 and taken["wall"] > 0 for taken in told)


def test_a_turn_is_compared_with_the_one_beside_it():
    def measured(*seconds):
        taken = [{"items": 10, "cpu": s, "wall": s} for s in seconds]
        return Measured("detection", "x", taken[0], taken)

    slow, fast = measured(2, 4, 8), measured(1, 2, 2)
    assert fast.ratios(slow) == [2, 2, 4]
    assert slow.speed == 2.5
    assert [row["speedup"] for row in fast.to_csv(slow)] == [2, 2, 4]


@pytest.mark.parametrize("task", training.TASKS)
def test_the_trainings_are_those_of_the_demo(task):
    told = training.settings(GRIDS, task, quick=False)
    run = next(r for r in load(GRIDS / "demo" / f"{task}.yaml").runs() if r.mechanism == "1111")
    assert tuple(told["sites"]) == tuple(run.sites)
    theirs, few = run.science["recipe"], {"evaluation_sentences", "evaluation_images", "epochs"}
    ours = find_task(task).Recipe.model_validate(told["recipe"]).model_dump(mode="json")
    assert {key: ours[key] for key in theirs if key not in few} == {
        key: value for key, value in theirs.items() if key not in few
    }
    assert ("channels_last" in training.variants(task)) is (task != "translation")


def test_an_unknown_task_is_answered_with_the_nearest():
    result = CliRunner().invoke(app, ["bench", "training", "--task", "translaton"])
    assert isinstance(result.exception, StudyError)
    assert "translation" in str(result.exception)


def test_missing_grids_are_said(tmp_path):
    result = CliRunner().invoke(app, ["bench", "training", "--grids", str(tmp_path)])
    assert isinstance(result.exception, StudyError)
    assert "detection.yaml is missing" in str(result.exception)


@pytest.mark.data
@pytest.mark.train
def test_quick_run_writes_a_row_for_each_turn(tmp_path):
    result = CliRunner().invoke(
        app,
        ["bench", "training", "--quick", "--task", "translation", "--grids", str(GRIDS),
         "--out", str(tmp_path)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output or result.exception
    frame = pd.read_csv(tmp_path / "training-quick-part.csv")
    assert frame["variant"].tolist() == [AS_IS, "before", "bfloat16"]
    assert (frame[["items", "cpu_seconds", "wall_seconds", "speedup"]] > 0).all(axis=None)
    assert frame["items"].nunique() == 1  # all have learnt from the same batch
