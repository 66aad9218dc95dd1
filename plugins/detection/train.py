"""Train a detector, and count what it costs."""

from __future__ import annotations

from pathlib import Path

import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.detection.config import class_names, detector, runner_config
from plugins.openmmlab import evaluation, training

__all__ = ["cost", "evaluate", "train"]

METRIC_PREFIX = "coco/bbox_"


def train(job: Job) -> None:
    """Train and evaluate as the recipe says."""
    training.train(job, runner_config(job), METRIC_PREFIX)


def evaluate(job: Job, checkpoint: Path) -> dict[str, float]:
    """Return the metrics of the validation split for the weights in a file.

    They may be of a run, or of a detector that MMDetection has trained.
    """
    return evaluation.evaluate(job, runner_config(job), checkpoint, METRIC_PREFIX)


def cost(job: Job, outputs: int | None = None) -> costs.Cost:
    """Count one image of the recipe's size, padded as the detector pads it.

    The box head runs on as many regions as there are proposals. Which regions these are depends on
    the data; cropping them (RoIAlign) and suppressing overlaps cost no MACs. `outputs` is the
    number of classes, by default those of the data set.
    """
    register_all_modules(init_default_scope=True)
    classes = len(class_names(job.data)) if outputs is None else outputs
    config = detector(job, classes)
    pad = config.data_preprocessor.pad_size_divisor
    width, height = (-(-side // pad) * pad for side in job.recipe.image_scale)
    with torch.device("meta"):
        model = MODELS.build(config)
        image = torch.zeros(1, 3, height, width)
        head = model.roi_head.bbox_head
        regions = torch.zeros(job.recipe.proposals, job.recipe.fpn_channels, *head.roi_feat_size)

    def forward() -> None:
        model.rpn_head(model.extract_feat(image))
        head(regions)

    return costs.count(model, forward, [3, height, width])
