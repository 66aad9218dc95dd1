"""A training that is ready to make steps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.contracts.tasks import find_task
from study.benchmarks.step.trainings import Training

__all__ = ["Made", "job_of"]


@dataclass(frozen=True)
class Made:
    """What the builders of either framework return.

    Attributes
    ----------
    step: callable
        Makes one: batch to the device, forward, losses, backward, optimizer.
    items: int
        Images or target tokens that it learns from.
    text: str
        Model and batch.
    """

    step: Callable[[], object]
    items: int
    text: str


def job_of(
    training: Training, recipe: dict[str, Any], device: str, share: int, folder: Path
) -> Job:
    """Return the run's job, as the first of `share` processes would have it."""
    task = find_task(training.task)
    changed = {"precision": training.precision}
    if training.elsewhere is not None:
        changed["elsewhere"] = training.elsewhere
    return Job(
        mechanism=Word.parse(training.mechanism),
        sites=task.default_sites,
        seed=0,
        recipe=task.Recipe.model_validate(recipe | changed),
        data=folder,
        folder=folder,
        device=device,
        record=lambda split, **values: None,
        recorded=lambda split: [],
        world=share,
    )
