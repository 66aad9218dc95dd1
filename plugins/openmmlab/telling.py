"""A hook that tells mechanisms the step of the training, and adds their losses to the task's."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from plugins.training.mechanisms import Trained

__all__ = ["TellMechanisms"]


class TellMechanisms(Hook):
    """Sets the step before each iteration; a loss of their own counts as ``loss_mechanism``."""

    def before_train(self, runner: Runner) -> None:
        """Find the modules, and add their losses to those of the model."""
        model: Any = runner.model.module if is_model_wrapper(runner.model) else runner.model
        self.trained = trained = Trained(model, runner.max_iters)
        if not trained.have_losses:
            return
        task_loss = model.loss

        def loss(*inputs: Any, **options: Any) -> dict[str, Any]:
            losses: dict[str, Any] = task_loss(*inputs, **options)
            own = trained.loss()
            return losses if own is None else {**losses, "loss_mechanism": own}

        model.loss = loss

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Tell the step."""
        self.trained.at(runner.iter)
