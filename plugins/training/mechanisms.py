"""What a training does for modules of its model: their losses, and the step they are at."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

__all__ = ["Trained"]


class Trained:
    """The modules of a model in training that have losses of their own or ask for the step.

    Parameters
    ----------
    model: nn.Module
        Built. Its modules were made by `plugins.attention.core.standing.build`, or have an
        attribute ``training_step``.
    steps: int, optional
        Steps of the whole training, if that is known.
    """

    def __init__(self, model: nn.Module, steps: int | None) -> None:
        modules: list[Any] = list(model.modules())
        self.modules = [
            each for each in modules if hasattr(each, "mechanism") or hasattr(each, "training_step")
        ]
        self.steps = steps
        self.have_losses = any(hasattr(each, "own_loss") for each in modules)

    def at(self, step: int) -> None:
        """Tell the modules how many steps of the training are done, and how many there are."""
        for module in self.modules:
            module.training_step, module.training_steps = step, self.steps

    def loss(self) -> Tensor | None:
        """Return the sum of the losses that modules add to the task's, None if none adds any."""
        losses = [each.own_loss() for each in self.modules if hasattr(each, "own_loss")]
        given = [loss for loss in losses if loss is not None]
        return sum(given[1:], start=given[0]) if given else None
