"""fairseq's trainer, which also writes down what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fairseq.logging import metrics
from fairseq.trainer import Trainer

from plugins.job import Job
from plugins.translation.arguments import LOG_UPDATES
from plugins.translation.checkpoints import LAST, PREVIOUS
from plugins.translation.evaluation import Evaluation

__all__ = ["RecordingTrainer"]


class RecordingTrainer(Trainer):
    """Trainer that records losses and validations and keeps two checkpoints.

    Parameters
    ----------
    job: Job
        Where to record.
    evaluation: Evaluation
        What to validate on at the end of each epoch.
    *arguments
        Those of fairseq's trainer.
    """

    def __init__(self, job: Job, evaluation: Evaluation, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.job, self.evaluation = job, evaluation
        self.epoch = 0

    def get_train_iterator(self, *arguments: Any, **options: Any) -> Any:
        """Return the batches of an epoch, whose progress the records tell."""
        self.batches = super().get_train_iterator(*arguments, **options)
        return self.batches

    def begin_epoch(self, epoch: int) -> None:
        """Begin an epoch."""
        self.epoch = epoch
        # fairseq forgets these on resuming at an epoch's end; forgotten always, records agree.
        metrics.reset_meters("train_inner")
        super().begin_epoch(epoch)

    def train_step(self, samples: list[dict[str, Any]], raise_oom: bool = True) -> Any:
        """Make one update; record the mean loss since the last record.

        The loss is fairseq's: label-smoothed cross entropy in bits a target token. A batch that
        does not fit into memory ends the run, where fairseq would leave it out.
        """
        logged = super().train_step(samples, raise_oom=raise_oom)
        step = self.get_num_updates()
        if step == 1 or step % LOG_UPDATES == 0:
            self.job.record(
                "train",
                step=step,
                epoch=round(
                    self.epoch - 1 + self.batches.iterations_in_epoch / len(self.batches), 4
                ),
                loss=float(metrics.get_meter("train_inner", "loss").avg),
                learning_rate=self.get_lr(),
            )
        return logged

    def save_checkpoint(self, filename: str, extra_state: dict[str, Any]) -> Any:
        """Save a checkpoint; at the end of an epoch keep the one before and validate first."""
        path = Path(filename)
        if path.name == "crash.pt":  # an update half made: nothing to go on from
            return None
        if path.name == LAST:
            perplexity = self.evaluation.perplexity(self.get_model(), self.get_criterion())
            step = self.get_num_updates()
            self.job.record("val", step=step, epoch=self.epoch, perplexity=perplexity)
            if path.exists():
                path.replace(path.with_name(PREVIOUS))
        return super().save_checkpoint(filename, extra_state)
