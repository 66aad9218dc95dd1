"""The optimizer of a recipe, in its precision, and a schedule that can be saved."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import OneCycleLR, OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS, PARAM_SCHEDULERS
from mmengine.runner.amp import autocast
from torch import nn

from plugins.contracts.job import Job

__all__ = ["AutocastOptimWrapper", "OneCycle", "optimizer", "rise_and_fall"]

OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {"type": "SGD", "momentum": 0.9},
    "adamw": {"type": "AdamW"},
}
"""A recipe's word for the optimizer, and MMEngine's config of it."""

PRECISIONS: dict[str, dict[str, Any]] = {
    "float32": {"type": "OptimWrapper"},
    "bfloat16": {"type": "AutocastOptimWrapper"},
    "float16": {"type": "AmpOptimWrapper", "dtype": "float16"},
}
"""A recipe's word for the precision, and MMEngine's config of it."""


def optimizer(job: Job, **options: Any) -> dict[str, Any]:
    """Return the config of the optimizer's wrapper; `options` are further ones of the wrapper."""
    recipe = job.recipe
    return {
        **PRECISIONS[recipe.precision],
        "optimizer": {
            **OPTIMIZERS[recipe.optimizer],
            "lr": recipe.rate,
            "weight_decay": recipe.weight_decay,
        },
        "accumulative_counts": recipe.accumulate,
        **options,
    }


def rise_and_fall(rising: int, epochs: int, start: float) -> list[dict[str, Any]]:
    """Return the configs of a learning rate that rises in a line, and falls to 0 as a cosine.

    It changes with each step.

    Parameters
    ----------
    rising, epochs: int
        Epochs in which it rises, 0 for none, and all epochs.
    start: float
        The share of the rate that it rises from.
    """
    by_step = {"by_epoch": True, "convert_to_iter_based": True}
    rise = {"type": "LinearLR", "start_factor": start, "begin": 0, "end": rising, **by_step}
    fall = {"type": "CosineAnnealingLR", "eta_min": 0, "begin": rising, "end": epochs, **by_step}
    return [rise, fall] if rising else [fall]


@OPTIM_WRAPPERS.register_module()
class AutocastOptimWrapper(OptimWrapper):
    """Trains in bfloat16, which needs no scaled loss. MMEngine's own wrapper wants a GPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Let the forward pass choose bfloat16 where that is safe."""
        with super().optim_context(model), autocast(dtype=torch.bfloat16):
            yield


@PARAM_SCHEDULERS.register_module()
class OneCycle(OneCycleLR):
    """MMEngine's ``OneCycleLR``, whose state holds a function: no checkpoint with it is read."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state without the function, which a new schedule has anyway."""
        state: dict[str, Any] = super().state_dict()
        del state["anneal_func"]
        return state
