"""Whole steps of training: the models that are compared, and what is written of them."""

from __future__ import annotations

from pathlib import Path

import mmseg
import pandas as pd
import pytest
from typer.testing import CliRunner

from plugins.detection import published
from study.benchmarks.devices.cpu import Cpu
from study.benchmarks.step import step, worker
from study.benchmarks.step.trainings import OURS, OUTPUTS, TASKS, Training, groups
from study.cli import app
from study.errors import StudyError
from study.grid.grid import load

ROOT = Path(__file__).parents[2]


def test_each_mechanism_is_timed_with_the_frameworks_own_and_a_baseline():
    found = groups("cuda", TASKS, None)
    assert all(len({training.precision for training in group}) == 1 for group in found)
    by_name = {group[-1].name: [(t.mechanism, t.side) for t in group] for group in found}
    assert by_name["detection 1111 float16"] == [
        ("none", OURS), ("1111", OURS), ("1111", "MMDetection")
    ]  # fmt: skip
    assert by_name["detection 0110 float32"] == [("none", OURS), ("0110", OURS)]
    assert by_name["segmentation none float32"] == [("none", OURS), ("none", "MMSegmentation")]
    assert by_name["translation 1111 bfloat16"] == [("1000", "fairseq"), ("1111", OURS)]
    assert by_name["translation 1000 bfloat16"] == [("1000", "fairseq"), ("1000", OURS)]
    (few,) = groups("cuda", ("detection",), "0011 float16")
    assert few[-1].name == "detection 0011 float16"


def test_mechanisms_are_those_of_the_grids_and_their_models_are_shipped():
    for *_, last in groups("cuda", TASKS, None):
        if last.task != "translation":
            grid = {"detection": "coco", "segmentation": "cityscapes"}[last.task]
            cells = load(ROOT / "grids" / grid / "self_attention.yaml").cells()
            assert last.mechanism in {mechanism for mechanism, _ in cells}
        if last.side == "MMDetection":
            entry = published.find(last.config)
            assert entry is not None
            assert ("dcn" in last.config or "dconv" in last.config) is (
                "deformable" in last.mechanism
            )
            assert last.mechanism[:4] in entry.name or last.mechanism.startswith("none")
        if last.side == "MMSegmentation":
            folder = Path(mmseg.__file__).parent / ".mim/configs/fcn"
            assert (folder / f"{last.config}.py").is_file()


def bench(task):
    recipe = step._recipe(ROOT / "grids", task, quick=True)
    return worker.Bench(Cpu(), {task: recipe}, OUTPUTS | {"translation": 100}, 1, 1)


def test_fairseqs_own_model_and_ours_learn_from_the_same_tokens_in_half_precision():
    (group,) = groups("cpu", ("translation",), "1000 bfloat16")
    ((theirs, ours),) = worker.measure([group], bench("translation"), 2, 0.0)
    assert theirs["failure"] == ours["failure"] == ""
    assert theirs["items"] == ours["items"] == 192  # of at most 200
    assert theirs["text"] == ours["text"]
    assert theirs["text"].endswith("6 sentences of 32 tokens, everywhere")
    assert len(theirs["seconds"]) == len(ours["seconds"]) == 2
    rows = [step.Row(*pair, theirs) for pair in zip(group, (theirs, ours), strict=True)]
    assert rows[0].over_baseline == 1
    assert rows[1].rate == pytest.approx(192 / (rows[1].milliseconds / 1000))


def test_a_training_that_fails_has_a_reason_and_the_others_are_timed():
    good = Training("translation", "1111", OURS, "float32")
    bad = Training("translation", "2222", OURS, "float32")
    ((timed, failed),) = worker.measure([[good, bad]], bench("translation"), 1, 0.0)
    assert timed["seconds"]
    row = step.Row(bad, failed, timed)
    assert row.to_csv()["milliseconds"] is None
    assert step.reasons([row]) == [f"{bad.name}, ours: {failed['failure']}"]
    assert "2222" in failed["failure"]


def test_the_command_writes_what_the_table_of_the_gpus_has(tmp_path):
    result = CliRunner().invoke(
        app,
        ["bench", "step", "--quick", "--only", "detection 1111 float32",
         "--grids", str(ROOT / "grids"), "--out", str(tmp_path)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output or result.exception
    frame = pd.read_csv(tmp_path / "step-quick-part.csv", dtype={"mechanism": str})
    known = pd.read_csv(ROOT / "results/bench/gpu-steps.csv")
    assert set(known.columns) - {"gpu"} <= set(frame.columns)  # this was no GPU
    assert frame[["mechanism", "side"]].to_numpy().tolist() == [
        ["none", "ours"], ["1111", "ours"], ["1111", "MMDetection"]
    ]  # fmt: skip
    assert frame["failure"].isna().all()
    assert (frame[["milliseconds", "items_per_second", "peak_gib"]] > 0).all(axis=None)
    assert frame["baseline_milliseconds"].nunique() == 1
    assert frame["training_step"][0] == "Faster R-CNN R50-FPN, 4 images 64x64"


def test_an_unknown_training_is_answered_with_those_there_are():
    result = CliRunner().invoke(app, ["bench", "step", "--task", "detection", "--only", "dynamic"])
    assert isinstance(result.exception, StudyError)
    assert "detection 1111+deformable float32" in str(result.exception)
