"""Train a segmentation model, and count what it costs."""

from __future__ import annotations

from pathlib import Path

import torch
from mmseg.registry import MODELS
from mmseg.utils import register_all_modules

from plugins.attention.core import cost as costs
from plugins.contracts.job import Job
from plugins.openmmlab import evaluation, training
from plugins.segmentation.config import runner_config, segmentor
from plugins.segmentation.data.layout import read_classes

__all__ = ["cost", "evaluate", "train"]


def train(job: Job) -> None:
    """Train and evaluate as the recipe says."""
    training.train(job, runner_config(job))


def evaluate(job: Job, checkpoint: Path) -> dict[str, float]:
    """Return the metrics of the validation split for the weights of a run."""
    return evaluation.evaluate(job, runner_config(job), checkpoint)


def cost(job: Job, outputs: int | None = None) -> costs.Cost:
    """Count one image of the size of a training crop, without the auxiliary head.

    `outputs` is the number of classes; by default those of the data set.
    """
    register_all_modules(init_default_scope=True)
    classes = len(read_classes(job.data)["classes"]) if outputs is None else outputs
    config = segmentor(job, classes)
    config.auxiliary_head = None
    height, width = job.recipe.crop
    with torch.device("meta"):
        model = MODELS.build(config)
        image = torch.zeros(1, 3, height, width)

    def forward() -> None:
        # MMSegmentation calls the head's `forward`, past the hooks that count a whole head.
        model.decode_head(model.extract_feat(image))

    return costs.count(model, forward, [3, height, width])
