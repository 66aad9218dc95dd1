"""Updates of translation models, ours and fairseq's own, by fairseq's trainer."""

from __future__ import annotations

import dataclasses
from typing import Any

from plugins.contracts.job import Job
from plugins.translation.arguments import fairseq_arguments
from plugins.translation.log import root_logger_kept
from plugins.translation.probe import batch
from plugins.translation.train import COST_TOKENS, build, learning, made_up
from study.benchmarks.step.made import Made
from study.benchmarks.step.trainings import OURS, Training

with root_logger_kept():
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.logging import metrics
    from fairseq.tasks.translation import TranslationTask
    from fairseq.trainer import Trainer

__all__ = ["make"]

OURS_ALONE = ("--encoder-self-attention", "--decoder-self-attention", "--cross-attention")


def make(training: Training, job: Job, words: int) -> Made:
    """Build model and trainer; the batch is the process's share of the recipe's tokens."""
    recipe, alone = job.recipe, dataclasses.replace(job, world=1)
    built = (
        build(alone, words) if training.side == OURS else _their_own(alone, words, training.config)
    )
    configuration, task, model = built
    criterion, _ = learning(alone, configuration, task, model)
    trainer = Trainer(configuration, task, model, criterion)
    trainer.lr_step_begin_epoch(1)
    sentences = max(1, recipe.tokens_per_batch // job.world // COST_TOKENS)
    samples = [batch(task, sentences, COST_TOKENS)]

    def step() -> None:
        with metrics.aggregate("train"):
            trainer.train_step(samples)

    size = "base" if (recipe.width, recipe.encoder_layers) == (512, 6) else f"of {recipe.width}"
    where = "everywhere" if training.elsewhere else f"self-attention, else {recipe.elsewhere}"
    if training.mechanism == recipe.elsewhere:
        where = "everywhere"
    text = f"Transformer {size}, {sentences} sentences of {COST_TOKENS} tokens, {where}"
    return Made(step, sentences * COST_TOKENS, text)


def _their_own(job: Job, words: int, architecture: str) -> tuple[Any, Any, Any]:
    """As `build`, with fairseq's model of the same sizes, which has absolute positions."""
    arguments = fairseq_arguments(job)
    for option in OURS_ALONE:
        at = arguments.index(option)
        del arguments[at : at + 2]
    arguments[arguments.index("--arch") + 1] = architecture
    arguments.remove("--no-token-positional-embeddings")
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments)
    configuration = convert_namespace_to_omegaconf(parsed)
    dictionary = made_up(words)
    task = TranslationTask(configuration.task, dictionary, dictionary)
    return configuration, task, task.build_model(configuration.model)
