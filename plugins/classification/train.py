"""Train a classifier, and count what it costs."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.registry import MODELS, init_default_scope

from plugins.attention.core import cost as costs
from plugins.classification.config import class_names, classifier, runner_config
from plugins.contracts.job import Job
from plugins.openmmlab import evaluation, training

__all__ = ["cost", "evaluate", "train"]


def train(job: Job) -> None:
    """Train and evaluate as the recipe says."""
    training.train(job, runner_config(job))


def evaluate(job: Job, checkpoint: Path) -> dict[str, float]:
    """Return the metrics of the validation split for the weights of a run."""
    return evaluation.evaluate(job, runner_config(job), checkpoint)


def cost(job: Job, outputs: int | None = None) -> costs.Cost:
    """Count one image of the size of a training crop.

    `outputs` is the number of classes; by default those of the data set.
    """
    init_default_scope("mmengine")
    classes = len(class_names(job)) if outputs is None else outputs
    height, width = job.recipe.crop
    with torch.device("meta"):
        model = MODELS.build(classifier(job, classes))
        image = torch.zeros(1, 3, height, width)
    return costs.count(model, lambda: model(image), [3, height, width])
