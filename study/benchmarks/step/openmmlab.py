"""Steps of detectors and segmentors, ours and the frameworks' own, from random weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import mmseg
import torch
from mmengine.config import Config, ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper

from plugins.contracts.job import Job
from plugins.detection import config as detection
from plugins.detection import published
from plugins.detection.probe import MadeUpBoxes
from plugins.openmmlab import training as processes
from plugins.segmentation import config as segmentation
from plugins.segmentation.probe import MadeUpSegments
from study.benchmarks.step.made import Made
from study.benchmarks.step.trainings import OURS, Training

__all__ = ["BUILDERS", "make"]

Built = tuple[Any, dict[str, Any], dict[str, Any], str]
"""A model, the config of its training, an image with what is on it, and the model's name."""


def make(training: Training, job: Job, classes: int) -> Made:
    """Build model and optimizer; the batch is the process's share of the recipe's.

    Weights are random: pretrained ones are loaded on demand alone.
    """
    images, alone = processes.share(job), dataclasses.replace(job, world=1)
    model, config, sample, text = BUILDERS[training.task](training, alone, classes)
    torch.backends.cudnn.benchmark = config.get("env_cfg", {}).get("cudnn_benchmark", False)
    model = revert_sync_batchnorm(model).to(job.device).train()
    optimizer = build_optim_wrapper(model, ConfigDict(config["optim_wrapper"]))
    batch = pseudo_collate([sample] * images)
    return Made(
        step=lambda: model.train_step(batch, optimizer),
        items=images,
        text=f"{text}, {images} image{'s' * (images > 1)} {_size(sample)}",
    )


def _detector(
    training: Training, job: Job, classes: int
) -> tuple[Any, dict[str, Any], dict[str, Any], str]:
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    config = detection.training_config(job, classes)
    model = config["model"]
    if training.side != OURS:
        entry = published.find(training.config)
        assert entry is not None
        model = Config.fromfile(entry.config).model
        if job.recipe.precision == "bfloat16":
            model.type = config["model"].type  # its heads stay in float32, as mmcv's operators need
    width, height = job.recipe.image_scale
    sample = MadeUpBoxes((height, width), classes)[0]
    return MODELS.build(model), config, sample, f"Faster R-CNN R{model.backbone.depth}-FPN"


def _segmentor(
    training: Training, job: Job, classes: int
) -> tuple[Any, dict[str, Any], dict[str, Any], str]:
    from mmseg.registry import MODELS
    from mmseg.utils import register_all_modules

    register_all_modules(init_default_scope=True)
    config = segmentation.training_config(job, classes)
    model = config["model"]
    if training.side != OURS:
        shipped = Path(mmseg.__file__).parent / ".mim/configs/fcn" / f"{training.config}.py"
        model = Config.fromfile(shipped).model
        model.data_preprocessor.size = job.recipe.crop
    sample = MadeUpSegments(job.recipe.crop, classes)[0]
    return MODELS.build(model), config, sample, f"FCN R{model.backbone.depth}-D8"


BUILDERS = {"detection": _detector, "segmentation": _segmentor}


def _size(sample: dict[str, Any]) -> str:
    """Height by width of the image."""
    height, width = sample["inputs"].shape[1:]
    return f"{height}x{width}"
