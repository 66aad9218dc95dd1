"""Ways to calculate the same in another order, which may be faster: a recipe's options."""

from __future__ import annotations

from typing import Any

import torch
from mmcv.ops import RoIAlign
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner
from torch import Tensor, nn

from plugins.contracts.job import Job
from plugins.training.compilation import compile_for_training

__all__ = ["Accelerate", "put_channels_last"]


class Accelerate(Hook):
    """Compiles the model for training if the recipe says so.

    Names and shapes in checkpoints stay as they are.

    Parameters
    ----------
    job: Job
        Its recipe has the option.
    """

    def __init__(self, job: Job) -> None:
        self.recipe = job.recipe

    def before_train(self, runner: Runner) -> None:
        """Compile the backbone, which takes most of the arithmetic.

        The layers after it work on lists of regions, whose number changes from image to image.
        """
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if self.recipe.compile:
            compile_for_training(model.backbone)

    def before_val_epoch(self, runner: Runner) -> None:
        """Compile nothing for images that may all differ in size."""
        if self.recipe.compile:
            torch.compiler.set_stance("force_eager")

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Use what is compiled again."""
        if self.recipe.compile:
            torch.compiler.set_stance("default")


def put_channels_last(model: Any) -> None:
    """Keep the channels of a pixel together in the memory of weights and feature maps."""
    model.to(memory_format=torch.channels_last)
    model.backbone.register_forward_pre_hook(_channels_last)
    for module in model.modules():
        if isinstance(module, RoIAlign):
            module.register_forward_pre_hook(_contiguous)


def _contiguous(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    # MMCV's operator takes any map for a contiguous one, and would read the wrong numbers.
    first, *others = inputs
    return (first.contiguous(), *others)


def _channels_last(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    first, *others = inputs
    return (first.contiguous(memory_format=torch.channels_last), *others)
