"""Updates of a translation model on made-up sentences."""

from __future__ import annotations

import dataclasses
from contextlib import suppress
from typing import Any

import torch
from fairseq.logging import metrics

from plugins.contracts.job import Job
from plugins.contracts.probe import Probed
from plugins.training import allocator
from plugins.training.probing import Enough, Stopwatch
from plugins.translation.log import log_to
from plugins.translation.train import COST_TOKENS, build, learning
from plugins.translation.trainer import RecordingTrainer

__all__ = ["LONGEST", "batch", "probe"]

LONGEST = 250
"""Tokens of a side at most, as in WMT14 after cleaning: such batches take the most memory."""


def probe(job: Job, steps: int, outputs: int | None = None) -> Probed:
    """Measure updates of the run, as one of ``job.world`` processes makes them.

    All sentences have as many tokens as cost is counted for; the first update is on sentences of
    :data:`LONGEST`, so that memory is that of the longest.
    """
    allocator.keep_freed_memory()
    (job.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    watch = Stopwatch(job.device, steps)
    with log_to(job.folder / "train.log"):
        metrics.reset()
        alone = dataclasses.replace(job, world=1)
        configuration, task, model = build(alone, outputs)
        criterion, trained = learning(alone, configuration, task, model)
        no_evaluation: Any = None
        trainer = _Trainer(alone, no_evaluation, trained, configuration, task, model, criterion)
        trainer.lr_step_begin_epoch(1)
        long, usual = (_update(job, task, tokens) for tokens in (LONGEST, COST_TOKENS))
        with metrics.aggregate("train"), suppress(Enough):
            trainer.train_step(long)
            while True:
                with metrics.aggregate("train_inner"):
                    trainer.train_step(usual)
                watch.after_step()
    parts = f"{len(usual)} x " if len(usual) > 1 else ""
    return watch.result(
        f"{parts}{usual[0]['nsentences']} pairs of {_length(job, COST_TOKENS)} tokens;"
        f" memory with {long[0]['nsentences']} of {_length(job, LONGEST)}"
    )


class _Trainer(RecordingTrainer):
    """Records nothing."""

    def _record(self, step: int) -> None:
        pass


def _length(job: Job, tokens: int) -> int:
    return min(tokens, int(job.recipe.tokens_per_batch))


def _update(job: Job, task: Any, tokens: int) -> list[dict[str, Any]]:
    """Return the batches of an update: this process's part of each."""
    length = _length(job, tokens)
    sentences = range(0, job.recipe.tokens_per_batch // length, job.world)
    return [batch(task, len(sentences), length) for _ in range(job.recipe.update_frequency)]


def batch(task: Any, sentences: int, length: int) -> dict[str, Any]:
    """Return pairs of made-up sentences of so many tokens, as fairseq's data sets make them."""
    words = task.source_dictionary
    chance = torch.Generator().manual_seed(0)
    source, target = torch.randint(
        words.nspecial, len(words), (2, sentences, length), generator=chance
    )
    source[:, -1] = target[:, -1] = words.eos()
    return {
        "id": torch.arange(sentences),
        "nsentences": sentences,
        "ntokens": target.numel(),
        "net_input": {
            "src_tokens": source,
            "src_lengths": torch.full((sentences,), length),
            # The decoder sees the target one position later, its end first.
            "prev_output_tokens": target.roll(1, dims=1),
        },
        "target": target,
    }
