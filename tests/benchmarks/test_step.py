"""Whole steps of training: the models that are compared, and what is written of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import mmseg
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from plugins.detection import published
from study.benchmarks.devices.cpu import Cpu
from study.benchmarks.step import openmmlab, step, worker
from study.benchmarks.step.made import job_of
from study.benchmarks.step.trainings import GRIDS, OURS, OUTPUTS, TASKS, Training, groups
from study.cli import app
from study.errors import StudyError
from study.grid.reading import load

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


@pytest.mark.parametrize(
    ("task", "name", "text"),
    [
        ("detection", "1111+deformable float32", "Faster R-CNN R50-FPN"),
        ("segmentation", "none float32", "FCN R50-D8"),
    ],
)
def test_ours_and_the_frameworks_own_are_the_same_network(task, name, text):
    made = {}
    for training in groups("cuda", (task,), name)[0][-2:]:
        recipe = load(ROOT / "grids" / GRIDS[task]).recipe
        job = dataclasses.replace(job_of(training, recipe, "cpu", 8, Path()), world=1)
        with torch.device("meta"):
            model, *_, title = openmmlab.BUILDERS[task](training, job, OUTPUTS[task])
        made[training.side] = {name: weight.shape for name, weight in model.named_parameters()}
        assert title == text
    ours, theirs = made.values()
    assert sorted(ours.values()) == sorted(theirs.values())


def test_a_step_learns_from_the_images_of_a_batch():
    (group,) = groups("cpu", ("segmentation",), "none float32")
    (found,) = worker.measure([group[:1]], bench("segmentation"), 1, 0.0)
    assert found[0]["failure"] == ""
    assert found[0]["items"] == 4
    assert found[0]["text"] == "FCN R50-D8, 4 images 32x32"


def test_a_training_that_fails_has_a_reason():
    training = Training("translation", "2222", OURS, "float32")
    (found,) = worker.measure([[training]], bench("translation"), 1, 0.0)
    assert "2222" in found[0]["failure"]
    row = step.Row(training, found[0], found[0])
    assert row.to_csv()["milliseconds"] is None
    assert step.reasons([row]) == [f"{training.name}, ours: {found[0]['failure']}"]


def bench(task):
    recipe = step._recipe(ROOT / "grids", task, quick=True)
    return worker.Bench(Cpu(), {task: recipe}, OUTPUTS | {"translation": 100}, 1, 1)


class InThisProcess:
    """Stands in for the measuring process."""

    def __init__(self, function):
        assert function == "study.benchmarks.step.worker:serve"

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def tell(self, request):
        self.answers = worker.answers(request)

    def hear(self, seconds):
        return next(self.answers)


def test_the_command_writes_what_the_table_of_the_gpus_has(tmp_path, monkeypatch):
    monkeypatch.setattr(step, "Child", InThisProcess)
    result = CliRunner().invoke(
        app,
        ["bench", "step", "--quick", "--only", "translation 1000 bfloat16", "--rounds", "2",
         "--grids", str(ROOT / "grids"), "--out", str(tmp_path)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output or result.exception
    frame = pd.read_csv(tmp_path / "step-quick-part.csv", dtype={"mechanism": str})
    known = pd.read_csv(ROOT / "results/bench/gpu-steps.csv")
    assert set(known.columns) - {"gpu"} <= set(frame.columns)  # this was no GPU
    assert frame[["mechanism", "side"]].to_numpy().tolist() == [
        ["1000", "fairseq"], ["1000", "ours"]
    ]  # fmt: skip
    assert frame["failure"].isna().all()
    assert (frame["rounds"] == 2).all()
    assert (frame["items"] == 192).all()  # of at most 200
    assert frame["training_step"].unique().tolist() == [
        "Transformer of 128, 6 sentences of 32 tokens, everywhere"
    ]
    numbers = frame[["milliseconds", "items_per_second", "peak_gib"]]
    assert (numbers > 0).all(axis=None)
    rate = 1000 * frame["items"] / frame["milliseconds"]
    assert frame["items_per_second"].tolist() == pytest.approx(rate.tolist())
    assert (frame["baseline_milliseconds"] == frame["milliseconds"][0]).all()


def test_an_unknown_training_is_answered_with_those_there_are():
    result = CliRunner().invoke(app, ["bench", "step", "--task", "detection", "--only", "dynamic"])
    assert isinstance(result.exception, StudyError)
    assert "detection 1111+deformable float32" in str(result.exception)
