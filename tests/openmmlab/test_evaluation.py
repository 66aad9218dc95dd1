"""A run's checkpoint reaches, evaluated by itself, what the training recorded for it."""

from __future__ import annotations

import dataclasses
import shutil

import few_steps
import numpy as np
import pytest
import torch

from plugins.attention.core.word import Word
from plugins.contracts.job import CheckpointError
from plugins.contracts.tasks import find_task

pytestmark = pytest.mark.train

RECIPES = {
    # Enough to find something: an AP of 0 would be that of any weights.
    "detection": {
        "optimizer": "adamw", "learning_rate": 2e-3, "epochs": 10, "batch_size": 1, "rois": 32,
        "gradient_clip": 35, "warmup_iterations": 10, "decay_epochs": (100,),
    },
    "segmentation": {"epochs": 2},
    "classification": {"optimizer": "adamw", "learning_rate": 1e-2, "epochs": 6, "batch_size": 7},
}  # fmt: skip


@pytest.fixture(scope="module", params=RECIPES)
def trained(request, tmp_path_factory):
    """Task, job and records of a finished run, evaluated on what it has learned from."""
    task, data = request.param, tmp_path_factory.mktemp("data")
    few_steps.make_data(data)
    boxes = data / "detection/annotations"
    shutil.copy(boxes / "train.json", boxes / "val.json")
    lines = []
    job = dataclasses.replace(
        few_steps.job(task, data, data / "run", **RECIPES[task]),
        record=lambda split, **values: lines.append({"split": split, **values}),
        recorded=lambda split: [line for line in lines if line["split"] == split],
    )
    find_task(task).train(job)
    return task, job, [line for line in lines if line["split"] == "val"]


def evaluate(trained, checkpoint, folder):
    folder.mkdir(exist_ok=True)
    return find_task(trained[0]).evaluate(
        dataclasses.replace(trained[1], folder=folder), checkpoint
    )


def state(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_checkpoint_reaches_what_was_recorded(trained, tmp_path):
    task, job, records = trained
    before = state(job.folder)
    for record in records[-2:]:
        checkpoint = job.folder / f"checkpoints/epoch_{record['epoch']}.pth"
        expected = {k: v for k, v in record.items() if k not in ("split", "step", "epoch")}
        assert evaluate(trained, checkpoint, tmp_path / "scratch") == expected
    assert state(job.folder) == before
    assert expected[find_task(task).metrics[0].name] > 0


def test_what_the_metric_is_made_of_is_handed_over(trained, tmp_path):
    task, job, records = trained
    given = []
    job = dataclasses.replace(job, folder=tmp_path, items=given.append)
    find_task(task).evaluate(
        job, trained[1].folder / f"checkpoints/epoch_{records[-1]['epoch']}.pth"
    )
    (items,) = given
    images = few_steps.IMAGES[task]
    assert items["item"].tolist() == list(range(images))
    known = find_task(task)
    value, twice, none = known.value_of_items(items, np.array([[1], [2], [0]]).repeat(images, 1))
    # All images twice have the metric of all once, but for where precision is read.
    assert value == pytest.approx(records[-1][known.metrics[0].name], abs=1e-6)  # recorded so
    assert twice == pytest.approx(value, abs=0.02)
    assert np.isnan(none)


def test_other_weights_reach_something_else(trained, tmp_path):
    """The metrics are of the weights in the file."""
    task, job, records = trained
    content = torch.load(
        job.folder / f"checkpoints/epoch_{records[-1]['epoch']}.pth", weights_only=False
    )
    last = {
        "detection": "roi_head.bbox_head.fc_cls",
        "segmentation": "decode_head.conv_seg",
        "classification": "linear",
    }[task]
    content["state_dict"][f"{last}.bias"][-1] += 100
    torch.save(content, tmp_path / "changed.pth")
    metric = find_task(task).metrics[0].name
    found = evaluate(trained, tmp_path / "changed.pth", tmp_path / "scratch")
    assert found[metric] != records[-1][metric]


def test_the_checkpoint_of_another_mechanism_is_refused(trained, tmp_path):
    """1011 and 1111 have parameters of the same names and shapes."""
    task, job, records = trained
    checkpoint = job.folder / f"checkpoints/epoch_{records[-1]['epoch']}.pth"
    job = dataclasses.replace(job, mechanism=Word.parse("1011"), folder=tmp_path)
    with pytest.raises(CheckpointError, match="terms '1111' instead of '1011'"):
        find_task(task).evaluate(job, checkpoint)
