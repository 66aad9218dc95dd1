"""Continuing exactly where a run was stopped: between two epochs or between two steps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import EpochBasedTrainLoop, Runner
from torch import nn

from plugins.contracts.job import Job, Stopped
from plugins.openmmlab.checkpoints import mid_epoch_checkpoints, mid_epoch_name
from plugins.training import distributed

__all__ = ["RANDOM_STATES", "Reseed", "StoppableLoop", "seeded_by_torch"]

RANDOM_STATES = "random_states"
"""Key of the random states in the ``meta`` of a checkpoint made within an epoch."""


class StoppableLoop(EpochBasedTrainLoop):
    """MMEngine's loop over epochs; it can stop after any step and continue there.

    A run that is told to stop within an epoch saves a checkpoint with its random states. The next
    attempt begins the epoch from its seed again, draws the finished batches from the data loader
    without learning from them, and restores the random states. From there on it trains as if
    nothing had happened:

    * Without workers the data loader draws from this process's random states, as the model does.
    * With workers it draws in the workers. torch derives their states from a number drawn at the
      epoch's start, and it is fixed which worker loads which batch. Drawing the batches again
      brings the workers to where they were (see :func:`seeded_by_torch`).
    * With several processes, only the first saves its states. The others draw the same batches, but
      continue from random states that depend on the step. What they drop or sample, and without
      workers how they flip and crop images, has the same distribution as in an undisturbed run, but
      is not the same.

    Parameters
    ----------
    job: Job
        The run; the loop asks it after each step whether to stop.
    **options
        Those of MMEngine's ``EpochBasedTrainLoop``.
    """

    def __init__(self, job: Job, **options: Any) -> None:
        super().__init__(**options)
        self.job = job

    def run(self) -> nn.Module:
        """Train, and return the model."""
        # MMEngine counts one backward pass a step.
        parts = self.job.recipe.accumulate
        self.runner.optim_wrapper.initialize_count_status(
            self.runner.model, parts * self.iter, parts * self.max_iters
        )
        return super().run()

    def run_iter(self, idx: int, data_batch: dict[str, Sequence[Any]]) -> None:
        """Make a step, from the batch's parts one after the other."""
        runner, parts = self.runner, self.job.recipe.accumulate
        runner.call_hook("before_train_iter", batch_idx=idx, data_batch=data_batch)
        images = len(data_batch["inputs"])
        size = -(-images // parts)  # an epoch's last batch may repeat some images
        outputs = []
        for part in range(parts):
            chosen = [index % images for index in range(part * size, (part + 1) * size)]
            outputs.append(
                runner.model.train_step(
                    {key: [values[i] for i in chosen] for key, values in data_batch.items()},
                    optim_wrapper=runner.optim_wrapper,
                )
            )
        means = {key: sum(output[key] for output in outputs) / parts for key in outputs[0]}
        runner.call_hook("after_train_iter", batch_idx=idx, data_batch=data_batch, outputs=means)
        self._iter += 1

    def run_epoch(self) -> None:
        """Train an epoch, or what is left of it.

        Raises
        ------
        Stopped
            If the run has been told to stop and there is a checkpoint to continue from.
        """
        runner, length = self.runner, len(self.dataloader)
        done = self.iter - self.epoch * length
        runner.call_hook("before_train_epoch")
        runner.model.train()
        batches = enumerate(self.dataloader)
        for _ in islice(batches, done):
            self._stop_if_told()  # the checkpoint that this attempt came from is still there
        if done:
            self._put_states_back()
        for index, batch in batches:
            self.run_iter(index, batch)
            # The end of an epoch has a checkpoint of its own.
            if self.job.stopping() and index + 1 < length:
                self._save()
                raise Stopped
        runner.call_hook("after_train_epoch")
        self._epoch += 1
        if self.job.rank == 0:
            _remove(mid_epoch_checkpoints(Path(runner.work_dir)))
        self._stop_if_told()

    def _stop_if_told(self) -> None:
        if self.job.stopping():
            raise Stopped

    def _save(self) -> None:
        folder = Path(self.runner.work_dir)
        older = mid_epoch_checkpoints(folder)
        states = _states(self.job.device)
        self.runner.save_checkpoint(
            str(folder),
            mid_epoch_name(self.epoch, self.iter),
            by_epoch=False,
            meta={"epoch": self.epoch, "iter": self.iter, RANDOM_STATES: states},
        )
        _remove(older)

    def _put_states_back(self) -> None:
        if self.job.rank:
            # No epoch has this number.
            _seed(distributed.seed(self.job, self.max_epochs + self.iter))
        else:
            _restore(self.runner.random_states)


class Reseed(Hook):
    """Starts each epoch from random states that depend only on seed, epoch and process.

    A resumed run then draws what the undisturbed one would have drawn.
    """

    def __init__(self, job: Job) -> None:
        self.job = job

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed Python, NumPy and torch."""
        _seed(distributed.seed(self.job, runner.epoch))


@FUNCTIONS.register_module()
def seeded_by_torch(worker_id: int) -> None:
    """Keep the seeds that torch has given to a data loader's new worker.

    They come from a number drawn when an epoch begins. MMEngine's default gives the same seeds
    whenever a worker starts: a resumed run would then augment its images as in the first epoch.
    """


def _seed(number: int) -> None:
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)


def _states(device: str) -> dict[str, Any]:
    """Return the random states as numbers and tensors, which are safe to read."""
    numpy: Any = np.random.get_state()
    return {
        "python": random.getstate(),
        "numpy": (numpy[0], numpy[1].tolist(), *numpy[2:]),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if device == "cuda" else None,
    }


def _restore(states: dict[str, Any]) -> None:
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    # MMEngine has loaded all tensors to the device.
    torch.set_rng_state(states["torch"].cpu())
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"].cpu())


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
