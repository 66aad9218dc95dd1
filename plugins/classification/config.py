"""The config of a run as MMEngine's runner takes it: model, data, schedule, evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mmengine.config import ConfigDict

from plugins.classification import metric, model, reading  # noqa: F401  they register themselves
from plugins.classification.data.layout import read_classes
from plugins.classification.recipe import Recipe
from plugins.contracts.job import Job
from plugins.openmmlab import blocks, sites, training  # noqa: F401  blocks registers itself
from plugins.openmmlab.backbone import expansion
from plugins.openmmlab.optimizer import optimizer, rise_and_fall
from plugins.openmmlab.resnet import RGB, STEMS

__all__ = ["NETWORKS", "class_names", "classifier", "runner_config", "training_config"]

PREPROCESSOR = {"type": "ImgDataPreprocessor", **RGB}

WARMUP_START = 0.01
"""Share of the learning rate that warm-up starts from."""


def _resnet(job: Job, classes: int) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    backbone: dict[str, Any] = {
        **STEMS[recipe.stem],
        "depth": recipe.depth,
        "base_channels": recipe.base_channels,
        "out_indices": (3,),
        "init_cfg": recipe.pretrained and {"type": "Pretrained", "checkpoint": recipe.pretrained},
    }
    sites.attend(backbone, job.mechanism, job.sites, recipe.heads, recipe.kv_stride)
    return {
        "type": "PooledClassifier",
        "backbone": backbone,
        "channels": recipe.base_channels * expansion(recipe.depth) * 2**3,
        "classes": classes,
        "dropout": recipe.dropout,
        "label_smoothing": recipe.label_smoothing,
    }


def _residual_attention(job: Job, classes: int) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    backbone = {
        "type": "ResidualAttentionNetwork",
        "classes": classes,
        "modules": {56: (1, 1, 1), 92: (1, 2, 3)}[recipe.depth],
        "widths": [4 * recipe.base_channels * 2**stage for stage in range(4)],
        "stem": recipe.stride,
        "learning": recipe.learning,
    }
    return {"type": "Classifier", "backbone": backbone}


def _dynamic_capacity(job: Job, classes: int) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    backbone = {
        "type": "DynamicCapacityNetwork",
        "classes": classes,
        "patches": recipe.patches,
        # 12, 24 and 96 of 16, as in the paper.
        "coarse_width": recipe.base_channels * 3 // 4,
        "channels": recipe.base_channels * 3 // 2,
        "top_width": recipe.base_channels * 6,
    }
    return {"type": "Classifier", "backbone": backbone}


def _recurrent_attention(job: Job, classes: int) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    stages = {"imagenet": 5, "medium": 4, "small": 3}[recipe.stem]
    depths = {11: (1, 1, 2, 2, 2), 19: (2, 2, 4, 4, 4)}[recipe.depth]
    backbone = {
        "type": "RecurrentAttentionNetwork",
        "classes": classes,
        "scales": recipe.scales,
        "widths": [recipe.base_channels * n for n in (1, 2, 4, 8, 8)[:stages]],
        "depths": depths[:stages],
        # 1024 of 64, as in the paper.
        "hidden": recipe.base_channels * 16,
    }
    return {"type": "Classifier", "backbone": backbone}


NETWORKS: dict[str, Callable[[Job, int], dict[str, Any]]] = {
    "resnet": _resnet,
    "residual_attention": _residual_attention,
    "dynamic_capacity": _dynamic_capacity,
    "recurrent_attention": _recurrent_attention,
}
"""By the recipe's word, what makes the model's config from a run and the number of classes.

A module that classifies by itself is the ``backbone`` of a ``Classifier``.
"""


def classifier(job: Job, classes: int) -> ConfigDict:
    """Return the config of the model."""
    made = NETWORKS[job.recipe.network](job, classes)
    return ConfigDict({**made, "data_preprocessor": PREPROCESSOR})


def class_names(job: Job) -> tuple[str, ...]:
    """Return the names of the data set's classes, in the order of the labels."""
    return tuple(read_classes(job.data).values())


def runner_config(job: Job) -> dict[str, Any]:
    """Return model, data, schedule and evaluation as ``mmengine.Runner`` takes them."""
    classes = class_names(job)
    return training_config(job, len(classes)) | {
        "train_dataloader": _loader(job, "train", classes),
        "val_dataloader": _loader(job, "val", classes),
        "val_cfg": {},
        "val_evaluator": {"type": "Accuracy"},
    }


def training_config(job: Job, classes: int) -> dict[str, Any]:
    """Return the part of `runner_config` that needs no data: model, optimizer and schedule."""
    recipe: Recipe = job.recipe
    return {
        "default_scope": "mmengine",
        "model": classifier(job, classes),
        "train_cfg": recipe.train_cfg,
        # All images of a training are of one size.
        "env_cfg": {"cudnn_benchmark": job.device == "cuda"},
        "optim_wrapper": optimizer(job),
        "param_scheduler": _schedule(recipe),
    }


def _schedule(recipe: Recipe) -> list[dict[str, Any]]:
    *rise, fall = rise_and_fall(recipe.warmup_epochs, recipe.epochs, start=WARMUP_START)
    if recipe.decay_epochs is not None:
        milestones = list(recipe.decay_epochs)
        fall = {"type": "MultiStepLR", "gamma": 0.1, "milestones": milestones, "by_epoch": True}
    return [*rise, fall]


def _loader(job: Job, split: str, classes: tuple[str, ...]) -> dict[str, Any]:
    recipe: Recipe = job.recipe
    to_train = split == "train"
    pipeline: list[dict[str, Any]] = [{"type": "LoadImageFromFile"}]
    if to_train and recipe.area_range != (1.0, 1.0):
        cut = {"type": "RandomResizedCrop", "size": recipe.crop, "areas": recipe.area_range}
        pipeline.append(cut)
    else:
        # The smaller of two numbers is for the shorter side; the larger one is no limit.
        scale = (recipe.resize, 10**6)
        pipeline.append({"type": "Resize", "scale": scale, "keep_ratio": True})
        pipeline.append({"type": "CenterCrop", "crop_size": recipe.crop[::-1]})
    if to_train:
        pipeline.append({"type": "RandomFlip", "prob": recipe.flip})
    dataset = {
        "type": "LabelledImages",
        "split": split,
        "data_root": str(job.data),
        "metainfo": {"classes": classes},
        "test_mode": not to_train,
        "indices": recipe.training_images if to_train else recipe.evaluation_images,
        "pipeline": [*pipeline, {"type": "PackImage"}],
    }
    if not to_train:
        # All of one size; how many at once changes nothing, as nothing is normalised by the batch.
        return training.loader(job, dataset, recipe.batch_size, shuffle=False)
    made = training.loader(job, dataset, training.share(job), shuffle=True)
    whole = {"type": "WholeBatches", "batch_size": recipe.batch_size}
    return made | {"sampler": made["sampler"] | whole}
