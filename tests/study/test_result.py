"""A run without a value of its metric is not completed, whoever counts."""

import json
import math

import pytest

from study.errors import StudyError
from study.runs.folder import iter_runs
from study.worker.result import write_result

from .conftest import study
from .made import finished, planned

GRID = "task: toy\nproduct: {mechanism: [1111]}\nseeds: [0, 1]\n"


def edit(folder, **changes):
    path = folder.path / "result.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("measured", "told"),
    [
        ("other=1.0", r"gave no score \(it gave other 1\.0\)"),
        ("score=math.nan", r"gave no score \(it gave score nan\)"),
        ("score=-math.inf", r"gave no score \(it gave score -inf\)"),
        ("score=None", r"gave no score \(it gave score None\)"),
        ("", r"gave no score \(it gave nothing else\)"),
    ],
)
def test_the_worker_fails_a_run_whose_evaluation_gave_none(toy, tmp_path, measured, told):
    module = tmp_path / "site/toytask/train.py"
    text = module.read_text().replace("epoch=step, score=score)", f"epoch=step, {measured})")
    module.write_text(f"import math\n{text}")
    done = study("run", toy("task: toy\nproduct: {mechanism: [1111]}\n"))
    assert done.returncode == 1
    (folder,) = iter_runs(tmp_path / "runs")
    assert folder.result is None
    ending = folder.attempts[0].exit
    assert ending["cause"] == "failed"
    with pytest.raises(StudyError, match=told):
        raise StudyError(ending["error"])


def test_the_task_says_what_a_validation_set_without_a_value_is_like(tmp_path):
    folder = planned(tmp_path)
    run = folder.run | {"science": {"task": "segmentation"}}
    lines = [{"split": "train", "loss": 0.0}, {"split": "val", "aAcc": math.nan, "step": 1}]
    (folder.path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(StudyError) as raised:
        write_result(folder, run, 1, "cpu", {}, 0.0)
    assert str(raised.value) == (
        "the last evaluation gave no mIoU: no pixel of the validation set has a class"
        " (it gave aAcc nan)"
    )


@pytest.mark.parametrize(
    ("metrics", "reason"),
    [
        ({}, "result.json has no value of score: the evaluation measured nothing"),
        ({"score": math.nan}, "result.json has no value of score"),
        ({"score": None}, "result.json has no value of score"),
        ({"score": math.inf}, "result.json: value is inf, which no run can have"),
    ],
)
def test_an_old_one_is_broken_for_status_and_skipped_by_tables(toy, tmp_path, metrics, reason):
    grid = toy(GRID)
    finished(planned(tmp_path / "runs", seed=0), 0.5)
    edit(finished(planned(tmp_path / "runs", seed=1), 0.5), metrics=metrics)
    shown = study("status", grid)
    assert shown.returncode == 1
    assert "1 completed" in shown.stdout
    assert "1 broken" in shown.stdout
    assert reason in shown.stdout
    table = study("table", grid)
    assert f"skipped {tmp_path / 'runs'}" in table.stdout + table.stderr
    assert reason in table.stdout + table.stderr
    again = study("run", grid)
    assert again.returncode == 1
    assert f"{reason}" in again.stdout
    assert "move the folder away to train the run anew" in again.stdout
