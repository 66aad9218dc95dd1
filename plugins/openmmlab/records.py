"""What a training with MMEngine's runner writes down."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner

from plugins.contracts.job import Job
from plugins.training import distributed

__all__ = ["RECORD_INTERVAL", "Record"]

RECORD_INTERVAL = 10
"""Iterations between two lines of training metrics."""


class Record(Hook):
    """Passes metrics on to ``metrics.jsonl``, and evaluates once before the first step."""

    def __init__(self, job: Job, prefix: str) -> None:
        self.job, self.prefix = job, prefix

    def before_train(self, runner: Runner) -> None:
        """Make an evaluation that is due and missing.

        That is the one of the untrained model, whose metrics are a floor, or the one of an epoch
        after whose checkpoint the run was stopped.
        """
        split = "val" if runner.iter else "untrained"
        between_epochs = runner.iter == runner.epoch * len(runner.train_dataloader)
        due = runner.epoch % runner.val_interval == 0 or runner.epoch == runner.max_epochs
        if (
            between_epochs
            and due
            and distributed.decided(
                self.job,
                lambda: all(line["step"] != runner.iter for line in self.job.recorded(split)),
            )
        ):
            runner.val_loop.run()

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Record the loss, averaged by MMEngine over the last iterations."""
        if (runner.iter + 1) % RECORD_INTERVAL and runner.iter > 0:
            return
        scalars = runner.message_hub.log_scalars
        losses = {
            name.removeprefix("train/"): value.mean(RECORD_INTERVAL)
            for name, value in scalars.items()
            if name.startswith("train/") and "loss" in name and len(value._log_history)
        }
        loss = losses.pop("loss")
        if not np.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {runner.iter + 1}")
        self.job.record(
            "train",
            step=runner.iter + 1,
            epoch=round((runner.iter + 1) / len(runner.train_dataloader), 4),
            loss=float(loss),
            lr=float(runner.optim_wrapper.get_lr()["lr"][0]),
            **{name: float(value) for name, value in losses.items()},
        )

    def after_val_epoch(self, runner: Runner, metrics: Any = None) -> None:
        """Record the evaluator's metrics, and hand over what they were made of."""
        values = {
            name.removeprefix(self.prefix): round(float(value), 6)
            for name, value in (metrics or {}).items()
        }
        for metric in runner.val_loop.evaluator.metrics:
            # The first process alone has collected the items.
            if (items := getattr(metric, "items", None)) is not None:
                self.job.items(items)
        self.job.record(
            "untrained" if runner.iter == 0 else "val",
            step=runner.iter,
            epoch=runner.epoch,
            **{name: value for name, value in values.items() if np.isfinite(value)},
        )
