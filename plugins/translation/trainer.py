"""fairseq's trainer, which also writes down what it does."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from fairseq import utils
from fairseq.logging import metrics
from fairseq.trainer import Trainer

from plugins.contracts.job import Job, Stopped
from plugins.training import distributed
from plugins.training.mechanisms import Trained
from plugins.translation.arguments import LOG_UPDATES
from plugins.translation.checkpoints import LAST, PREVIOUS, WITHIN_EPOCH
from plugins.translation.evaluation import Evaluation

__all__ = ["RecordingTrainer"]


class RecordingTrainer(Trainer):
    """Trainer that records losses and validations and keeps two checkpoints.

    Several processes share the sentences of each batch; fairseq's own trainer gives every process
    batches of its own. So an update learns from the same sentences as with one process, an epoch
    has as many updates, and no sentence is longer than a process's batch. fairseq divides the sum
    of all processes' gradients by the sum of their target tokens. That is the gradient of the whole
    batch up to rounding; only dropout draws differently.

    Parameters
    ----------
    job: Job
        Where to record.
    evaluation: Evaluation
        What to validate on at the end of each epoch.
    trained: Trained
        The mechanisms of the model.
    *arguments
        Those of fairseq's trainer.
    """

    def __init__(self, job: Job, evaluation: Evaluation, trained: Trained, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.job, self.evaluation = job, evaluation
        self.epoch = 0
        self.trained = trained
        # This wraps the model and moves it to the GPU; the processes must do so together.
        _ = self.model

    def get_train_iterator(self, *arguments: Any, **options: Any) -> Any:
        """Return this process's part of an epoch's batches; the records show its progress."""
        self.batches = super().get_train_iterator(*arguments, shard_batch_itr=False, **options)
        # The processes take sentences in turn, because a batch is sorted by length.
        part = slice(self.job.rank, None, self.job.world)
        self.batches._frozen_batches = tuple(batch[part] for batch in self.batches.frozen_batches)
        return self.batches

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch = epoch
        if self.batches.iterations_in_epoch == 0:
            # fairseq forgets these when it resumes at an epoch's end; always forgetting them keeps
            # records equal.
            metrics.reset_meters("train_inner")
        super().begin_epoch(epoch)

    def train_step(self, samples: list[dict[str, Any]], raise_oom: bool = True) -> Any:
        """Make one update; record the mean loss since the last record.

        The loss is fairseq's: label-smoothed cross entropy in bits a target token. A batch that
        does not fit into memory ends the run; fairseq would leave it out. If the run has been told
        to stop, fairseq saves a checkpoint next.
        """
        # With fewer sentences than processes, some processes have none. fairseq gives these a
        # dummy, but miscounts its tokens if other batches of the update are real.
        samples = [sample for sample in samples if sample] or [{}]
        self.trained.at(self.get_num_updates())
        logged = super().train_step(samples, raise_oom=raise_oom)
        step = self.get_num_updates()
        # Nothing is logged of an update that is left out because float16 was too narrow for it.
        if logged is not None and (step == 1 or step % LOG_UPDATES == 0):
            self._record(step)
        if self.job.stopping():
            # The calling loop saves after a number of updates, once it has reset the meters of the
            # log. A checkpoint saved here would hold meters that were not reset.
            self.cfg.checkpoint.save_interval_updates = 1
        return logged

    def _record(self, step: int) -> None:
        epochs = self.epoch - 1 + self.batches.iterations_in_epoch / len(self.batches)
        loss = float(metrics.get_meter("train_inner", "loss").avg)
        if not math.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss} at step {step}")
        self.job.record(
            "train",
            step=step,
            epoch=round(epochs, 4),
            loss=loss,
            learning_rate=self.get_lr(),
        )

    def _set_seed(self) -> None:
        # fairseq's seed is the same in all processes.
        super()._set_seed()
        if self.job.rank:
            utils.set_torch_seed(distributed.seed(self.job, self.get_num_updates()))

    def save_checkpoint(self, filename: str, extra_state: dict[str, Any]) -> Any:
        """Save a checkpoint; at the end of an epoch keep the one before, and then validate.

        Raises
        ------
        Stopped
            If the run has been told to stop and there is a checkpoint to continue from.
        """
        path = Path(filename)
        if path.name == "crash.pt":  # half an update: nothing to continue from
            return None
        epoch_ends = path.name == LAST
        if epoch_ends and path.exists():
            path.replace(path.with_name(PREVIOUS))
        saved = super().save_checkpoint(filename, extra_state)
        if self.job.stopping():
            raise Stopped
        if epoch_ends:
            for within in path.parent.glob(WITHIN_EPOCH):
                within.unlink()
            self.validate(self.epoch)
        return saved

    def validate(self, epoch: int) -> None:
        """Record the perplexity after `epoch`."""
        perplexity = self.evaluation.perplexity(self.get_model(), self.get_criterion())
        step = self.get_num_updates()
        self.job.record("val", step=step, epoch=epoch, perplexity=perplexity)
