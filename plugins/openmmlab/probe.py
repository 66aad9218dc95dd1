"""Some steps of a training with MMEngine's runner, on made-up images and from random weights."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

from mmengine.hooks import Hook
from mmengine.logging import MMLogger
from mmengine.runner import Runner
from torch.utils.data import Dataset

from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.openmmlab import training
from plugins.openmmlab.acceleration import Accelerate
from plugins.openmmlab.telling import TellMechanisms
from plugins.training import allocator
from plugins.training.probing import Enough, Stopwatch

__all__ = ["MadeUp", "probe"]

IMAGES = 100_000
"""Images of an epoch: more than a probe sees, so that it ends before anything is evaluated."""


class MadeUp(Dataset):
    """The same image again and again; a task says what it looks like, and what is on it."""

    def __init__(self, sample: dict[str, Any]) -> None:
        self.sample = sample

    def __len__(self) -> int:
        return IMAGES

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.sample


def probe(
    job: Job, config: dict[str, Any], dataset: dict[str, Any], steps: int, unit: str = "image"
) -> Probed:
    """Measure steps of the run, as one of ``job.world`` processes makes them, without the others.

    Parameters
    ----------
    job: Job
        The run.
    config: dict
        Its model, optimizer and schedule. Pretrained weights are left out; layers that they let
        keep their statistics keep them.
    dataset: dict
        Config of a `MadeUp`, with the ``shape`` (height, width) of an image.
    steps: int
        To be timed.
    unit: str
        What the recipe's batch counts.
    """
    allocator.keep_freed_memory()
    share = training.share(job)
    model = config["model"]
    model.pop("pretrained", None)
    model.backbone.pop("init_cfg", None)
    # The model is made already: it is only the file that nothing shall look for.
    recipe = job.recipe.model_copy(update={"pretrained": None})
    alone = dataclasses.replace(job, world=1, recipe=recipe)
    loader = training.loader(alone, dataset, share, shuffle=False)
    loader |= {"num_workers": 0, "persistent_workers": False}
    watch = Stopwatch(job.device, steps)
    runner = training.runner_for(alone, {**config, "train_dataloader": loader})
    runner.register_hook(Accelerate(alone), priority="VERY_HIGH")
    runner.register_hook(TellMechanisms(), priority="VERY_HIGH")
    runner.register_hook(_Watch(watch), priority="LOWEST")
    try:
        with suppress(Enough):
            runner.train()
    finally:
        MMLogger._instance_dict.pop(runner.experiment_name, None)
    height, width = dataset["shape"]
    about = "of" if unit == "image" else "about images of"
    units = f"{unit}s" if share > 1 else unit
    return watch.result(f"{share} {units} {about} {height} x {width}")


class _Watch(Hook):
    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        self.watch.after_step()
