"""Evaluate weights from a file as a training would."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger

from plugins.contracts.job import Job
from plugins.openmmlab import weights
from plugins.openmmlab.attention_config import parts_of
from plugins.openmmlab.records import Record
from plugins.openmmlab.training import runner_for

__all__ = ["evaluate"]


def evaluate(
    job: Job,
    config: dict[str, Any],
    checkpoint: Path,
    metric_prefix: str = "",
) -> dict[str, float]:
    """Return the metrics of the validation split.

    Parameters
    ----------
    job: Job
        The run. What MMEngine writes goes to its folder.
    config: dict
        Its runner config.
    checkpoint: Path
        Of MMEngine or MMCV; see :mod:`plugins.openmmlab.weights`.
    metric_prefix
        That of :func:`plugins.openmmlab.training.train`.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read, or is of another model.
    """
    given = weights.read(checkpoint)
    recorded: dict[str, float] = {}

    def record(split: str, step: int = 0, epoch: float = 0, **metrics: float) -> None:
        recorded.update(metrics)

    alone = dataclasses.replace(job, record=record, recorded=lambda split: [])
    runner = runner_for(alone, config)
    try:
        classes = config["val_dataloader"]["dataset"]["metainfo"]["classes"]
        weights.load(runner.model, given, classes, parts_of(config["model"]))
        hook = Record(alone, metric_prefix)
        runner.register_hook(hook, priority="LOW")
        runner.val()
    finally:
        MMLogger._instance_dict.pop(runner.experiment_name, None)
    return recorded
