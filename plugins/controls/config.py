"""The runner's config of a control."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.registry import DATASETS
from torch.utils.data import Dataset

from plugins.contracts.job import Job
from plugins.controls import (
    metric,  # noqa: F401  registers itself
    model,  # noqa: F401  registers itself
    stem,
    store,
)
from plugins.controls.drawing import Drawer
from plugins.controls.recipe import Recipe
from plugins.controls.scenes import outputs
from plugins.controls.sites import SITE
from plugins.openmmlab import training
from plugins.openmmlab.optimizer import optimizer, rise_and_fall

__all__ = ["NamedCells", "network", "runner_config"]

WARM_UP = 1
"""Epochs in which the learning rate rises, if there are more."""

WARM_UP_START = 0.05
"""Share of the rate that it rises from."""


@DATASETS.register_module()
class NamedCells(Dataset):
    """The scenes of a kind as a stem sees them.

    Parameters
    ----------
    data: str
        Folder of the prepared set.
    kind, split: str
        Which scenes.
    weights: str
        File of the stem's weights.
    images: int, optional
        Only the first so many scenes.
    """

    def __init__(
        self, data: str, kind: str, split: str, weights: str, images: int | None = None
    ) -> None:
        drawer, names = Drawer(Path(data), kind, split), stem.load(Path(weights))
        learned = b"".join(each.numpy().tobytes() for each in names.state_dict().values())
        self.features = store.load_or_make(
            store.named(Path(data), kind, split, images, weights=learned),
            lambda: stem.features(names, drawer, images),
        )
        self.answers, self.places = map(torch.from_numpy, (drawer.answers, drawer.places))

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {
            "inputs": self.features[index],
            "answers": self.answers[index],
            "places": self.places[index],
        }


def network(job: Job) -> dict[str, Any]:
    """Return the config of the model."""
    recipe: Recipe = job.recipe
    return {
        "type": "ControlNetwork",
        "outputs": outputs(recipe.scene),
        "channels": recipe.channels,
        "heads": recipe.heads,
        "kv_stride": recipe.kv_stride,
        "word": str(job.mechanism),
        "at_cells": SITE in job.sites,
    }


def runner_config(job: Job, weights: Path) -> dict[str, Any]:
    """Return model, data, schedule and evaluation as ``mmengine.Runner`` takes them.

    `weights` is the file of the stem's.
    """
    recipe: Recipe = job.recipe

    def scenes(split: str, images: int | None) -> dict[str, Any]:
        return {
            "type": "NamedCells",
            "data": str(job.data),
            "kind": recipe.scene,
            "split": split,
            "weights": str(weights),
            "images": images,
        }

    each = training.share(job)
    learned = scenes("train", recipe.training_images)
    rising = WARM_UP if recipe.epochs > WARM_UP else 0
    return {
        "default_scope": "mmengine",
        "model": network(job),
        "train_cfg": recipe.train_cfg,
        "optim_wrapper": optimizer(job),
        "param_scheduler": rise_and_fall(rising, recipe.epochs, start=WARM_UP_START),
        "train_dataloader": training.loader(job, learned, each, shuffle=True),
        "val_dataloader": training.loader(
            job, scenes("val", recipe.evaluation_images), each, shuffle=False
        ),
        "val_cfg": {},
        "val_evaluator": {"type": "Answered"},
    }
