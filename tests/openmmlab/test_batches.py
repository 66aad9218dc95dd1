"""Batches in parts, learning rates for other batches, half precision, and a part of the images."""

from __future__ import annotations

import dataclasses

import few_steps
import pytest
import torch
from mmdet.models.backbones.resnet import ResNet as DetectionResNet
from mmseg.models.backbones.resnet import ResNet as SegmentationResNet
from torch import nn
from torch.nn import functional as F

from plugins.contracts.tasks import find_task
from plugins.detection.recipe import Recipe

pytestmark = pytest.mark.train

BACKBONES = {
    "detection": DetectionResNet,
    "segmentation": SegmentationResNet,
    "classification": DetectionResNet,
}
ROUNDING = 2e-5


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    few_steps.make_data(folder)
    return folder


def newest(folder):
    paths = sorted((folder / "checkpoints").glob("epoch_*.pth"))
    return torch.load(paths[-1], weights_only=False)


def _held_still(norm, x):
    return F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias)


@pytest.mark.parametrize("task", few_steps.RECIPES)
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(task, data, tmp_path, monkeypatch):
    """Compares weights and SGD's momentum, the mean of the gradients, after two steps.

    Batch normalisation is held still: learning, it would see the parts.
    """
    monkeypatch.setattr(nn.BatchNorm2d, "forward", _held_still)
    made = {}
    for parts in (1, 2, 4):
        few_steps.train(task, data, tmp_path / str(parts), epochs=2, accumulate=parts)
        made[parts] = newest(tmp_path / str(parts))
    whole = made[1]
    assert whole["meta"]["iter"] == 2
    sizes = [state["momentum_buffer"].abs().max() for state in whole["optimizer"]["state"].values()]
    assert max(sizes) > 0.1
    for parts in (2, 4):
        ours = made[parts]
        assert ours["meta"]["iter"] == 2
        for name, tensor in whole["state_dict"].items():
            torch.testing.assert_close(
                ours["state_dict"][name], tensor, rtol=ROUNDING, atol=ROUNDING, msg=name
            )
        for parameter, state in whole["optimizer"]["state"].items():
            expected = state["momentum_buffer"]
            torch.testing.assert_close(
                ours["optimizer"]["state"][parameter]["momentum_buffer"],
                expected,
                rtol=0,
                atol=ROUNDING * max(expected.abs().max().item(), 1e-3),
            )


@pytest.mark.parametrize("task", few_steps.RECIPES)
def test_products_are_of_the_precision_asked_for(task, data, tmp_path, monkeypatch):
    seen = set()
    forward = BACKBONES[task].forward

    def watched(self, x):
        maps = forward(self, x)
        if self.training:
            seen.add(maps[0].dtype)
        return maps

    monkeypatch.setattr(BACKBONES[task], "forward", watched)
    losses = {}
    for precision in ("float32", "bfloat16"):
        lines = []
        job = few_steps.job(task, data, tmp_path / precision, epochs=1, precision=precision)
        find_task(task).train(
            dataclasses.replace(
                job,
                record=lambda split, lines=lines, **values: lines.append((split, values)),
            )
        )
        assert seen == {getattr(torch, precision)}
        seen.clear()
        assert newest(job.folder)["state_dict"]["backbone.layer1.0.conv1.weight"].dtype is (
            torch.float32
        )
        (losses[precision],) = [values["loss"] for split, values in lines if split == "train"]
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.05)
    assert losses["bfloat16"] != losses["float32"]


def test_a_learning_rate_meant_for_another_batch_is_scaled_and_says_so(data, tmp_path):
    options = {"learning_rate": 0.02, "base_batch_size": 16, "epochs": 1, "accumulate": 2}
    said = "a step: 4 images, 2 parts one after the other; learning rate 0.005 = 0.02 x 4 / 16"
    few_steps.train("detection", data, tmp_path, **options)
    assert said in (tmp_path / "train.log").read_text()
    (group,) = newest(tmp_path)["optimizer"]["param_groups"]
    assert group["initial_lr"] == pytest.approx(0.005)
    assert Recipe(batch_size=8).step == "a step: 8 images; learning rate 0.001"


@pytest.mark.parametrize("task", few_steps.RECIPES)
def test_only_the_first_images_are_learnt_from_and_evaluated_on(task, data, tmp_path, monkeypatch):
    seen = {True: 0, False: 0}
    forward = BACKBONES[task].forward

    def counted(self, x):
        seen[self.training] += len(x)
        return forward(self, x)

    monkeypatch.setattr(BACKBONES[task], "forward", counted)
    options = {"training_images": 4, "evaluation_images": 3, "batch_size": 2, "epochs": 3}
    find_task(task).train(few_steps.job(task, data, tmp_path, **options))
    assert seen == {True: 3 * 4, False: (1 + 3) * 3}  # once before the first step
