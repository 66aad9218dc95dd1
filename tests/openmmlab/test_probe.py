"""A probe makes the steps that a training makes, of full size, without data and without weights."""

from __future__ import annotations

import dataclasses
from collections import Counter
from contextlib import suppress

import few_steps
import pytest
import torch
from mmdet.models import FasterRCNN
from mmengine.runner import Runner
from mmseg.models import EncoderDecoder
from torch.profiler import ProfilerActivity, profile

from plugins.classification.model import PooledClassifier
from plugins.contracts.tasks import find_task
from plugins.openmmlab.resuming import StoppableLoop
from plugins.training.probing import Enough, Stopwatch

MODELS = {
    "detection": FasterRCNN,
    "segmentation": EncoderDecoder,
    "classification": PooledClassifier,
}
FORWARD = ("aten::convolution", "aten::batch_norm", "aten::max_pool2d", "aten::matmul")
BACKWARD = "autograd::engine::evaluate_function"
SIZES = {
    "detection": {"image_scale": (96, 64)},
    "segmentation": {"crop": (64, 96)},
    "classification": {"crop": (64, 96)},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    few_steps.make_data(folder)
    return folder


def probe(task, tmp_path, steps=2, world=1, **recipe):
    """Probe as if the published data set had two classes, and were not there."""
    job = few_steps.job(task, tmp_path / "absent", tmp_path / "run", **recipe)
    return find_task(task).probe(dataclasses.replace(job, world=world), steps, 2)


@pytest.fixture
def seen(monkeypatch):
    """What each forward pass was given: shape, and whether it was in bfloat16."""
    found = []

    def watched(kind):
        loss = kind.loss

        def watch(self, inputs, *rest, **options):
            found.append((tuple(inputs.shape), torch.is_autocast_enabled("cpu")))
            return loss(self, inputs, *rest, **options)

        return watch

    for kind in MODELS.values():
        monkeypatch.setattr(kind, "loss", watched(kind))
    return found


@pytest.mark.parametrize("task", MODELS)
def test_steps_are_of_the_recipes_size_and_of_a_processes_share(task, tmp_path, seen):
    found = probe(task, tmp_path, world=2, **SIZES[task])
    # Warm-up, two timed ones, one whose operators are counted; a batch is of four images.
    assert seen == [((2, 3, 64, 96), False)] * 4
    assert len(found.milliseconds) == 2
    assert min(found.milliseconds) > 0
    assert found.kernels > 100
    assert found.inputs == "2 images of 64 x 96"


@pytest.mark.parametrize("task", MODELS)
def test_parts_of_a_batch_come_one_after_the_other_in_the_recipes_precision(task, tmp_path, seen):
    options = {"accumulate": 2, "precision": "bfloat16", "channels_last": True}
    probe(task, tmp_path, steps=1, **options)
    half = task != "detection"  # a detector's heads are in single precision
    assert seen == [((2, 3, 64, 64), half)] * 6


def test_a_pretrained_backbone_is_not_fetched_and_its_statistics_stay(tmp_path, monkeypatch):
    modes = []
    wrap = Runner.wrap_model

    def built(self, config, model):
        modes.append(model.backbone)
        return wrap(self, config, model)

    monkeypatch.setattr(Runner, "wrap_model", built)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    probe("detection", tmp_path, pretrained="torchvision://resnet50", frozen_stages=1)
    (backbone,) = modes
    assert backbone.norm_eval
    assert not backbone.conv1.weight.requires_grad
    probe("segmentation", tmp_path, pretrained="open-mmlab://resnet50_v1c")
    assert not (tmp_path / "torch").exists()


def test_a_step_calls_the_operators_of_a_training_step(data, tmp_path, monkeypatch):
    """Of forward and backward pass, as torch's profiler sees them within a step."""
    counted = {}

    def watched(key, run_iter=StoppableLoop.run_iter):
        def run(self, *arguments):
            with suppress(Enough), profile(activities=[ProfilerActivity.CPU]) as seen:
                run_iter(self, *arguments)
            names = [event.name for event in seen.events()]
            counted[key] = Counter(name for name in names if name in FORWARD or BACKWARD in name)
            if key == "probe":
                raise Enough

        return run

    def at_once(self):
        raise Enough

    monkeypatch.setattr(StoppableLoop, "run_iter", watched("training"))
    few_steps.train("segmentation", data, tmp_path / "training", epochs=1)
    monkeypatch.setattr(StoppableLoop, "run_iter", watched("probe"))
    monkeypatch.setattr(Stopwatch, "after_step", at_once)
    probe("segmentation", tmp_path)
    assert counted["training"]["aten::convolution"] > 10
    assert counted["probe"] == counted["training"]


@pytest.mark.parametrize("task", MODELS)
def test_the_steps_of_a_whole_training_are_those_that_mmengine_counts(
    task, data, tmp_path, monkeypatch
):
    counted = []

    class Built(Exception):
        pass

    def build(self, *arguments, **options):
        start(self, *arguments, **options)
        counted.append(self.max_iters)
        raise Built

    start = StoppableLoop.__init__
    monkeypatch.setattr(StoppableLoop, "__init__", build)
    with pytest.raises(Built):
        few_steps.train(task, data, tmp_path, batch_size=3, epochs=5)
    job = few_steps.job(task, data, tmp_path, batch_size=3, epochs=5)
    images = few_steps.IMAGES[task]
    assert counted == [find_task(task).training_steps(job.recipe, images, None)]
    assert find_task(task).training_steps(job.recipe, None, None) is None
