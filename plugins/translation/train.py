"""Training and cost of one translation run."""

from __future__ import annotations

import logging
import shlex
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from plugins.attention.core.cost import Cost, count
from plugins.contracts.job import Job
from plugins.training import allocator, distributed
from plugins.training.compilation import compile_for_training
from plugins.training.mechanisms import Trained
from plugins.translation.arguments import fairseq_arguments
from plugins.translation.batches import left_out
from plugins.translation.data.indexed import MAX_POSITIONS
from plugins.translation.log import log_to, root_logger_kept
from plugins.translation.recipe import Recipe
from plugins.translation.sites import parts

with root_logger_kept():
    import fairseq_cli.train  # type: ignore[import-untyped]
    from fairseq import checkpoint_utils, options, tasks, utils
    from fairseq.data import Dictionary
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf
    from fairseq.distributed import utils as fairseq_distributed
    from fairseq.logging import metrics
    from fairseq.tasks.translation import TranslationTask

    from plugins.translation.checkpoints import load_weights, newest_readable
    from plugins.translation.evaluation import EXTRA_LENGTH, UNTRAINED_LENGTH, Evaluation
    from plugins.translation.trainer import RecordingTrainer
    from plugins.translation.transformer import SpatialAttentionTransformer
    from plugins.translation.unit import AttentionUnit

__all__ = ["COST_TOKENS", "build", "cost", "evaluate", "learning", "made_up", "train"]

COST_TOKENS = 32
"""Tokens of the source and of the target sentence that cost is counted for."""

logger = logging.getLogger(__name__)


def train(job: Job) -> None:
    """Train and evaluate, from the newest readable checkpoint if there is one.

    Records ``untrained`` (BLEU, perplexity), ``train`` (loss in bits a target token, learning rate)
    every ten updates, ``val`` (perplexity) after each whole epoch, and ``val`` with BLEU at the
    end. With several processes, the first evaluates while the others wait.

    Raises
    ------
    ValueError
        If the mechanism cannot stand at the sites, or the data set is incomplete.
    """
    allocator.keep_freed_memory()
    (job.folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    log = nullcontext() if job.rank else log_to(job.folder / "train.log")
    with log, distributed.process_group(job), _fairseq_group(job):
        _train(job)


def evaluate(job: Job, checkpoint: Path) -> dict[str, float]:
    """Return BLEU and perplexity of the weights in a checkpoint of fairseq, in float32."""
    configuration, task, model = build(job)
    load_weights(model, configuration.model, checkpoint)
    evaluation = Evaluation(task, job.recipe, job.data)
    measured = _measured(
        evaluation,
        model.cuda() if job.device == "cuda" else model,
        task.build_criterion(configuration.criterion),
    )
    job.items(evaluation.items())
    return measured


def _measured(
    evaluation: Evaluation, model: Any, criterion: Any, extra: int = EXTRA_LENGTH
) -> dict[str, float]:
    bleu = evaluation.bleu(model, extra)
    return {"BLEU": bleu, "perplexity": evaluation.perplexity(model, criterion)}


def cost(job: Job, outputs: int | None = None) -> Cost:
    """Count a forward pass of one pair of sentences of :data:`COST_TOKENS` tokens each.

    The pass is that of training: encoder, decoder with the whole reference, output projection.
    The mechanism is what stands at the job's sites. `outputs` is the number of words of source and
    target vocabulary, fairseq's own four included; by default those of the data set.
    """
    with torch.device("meta"):
        _, _, model = build(job, outputs)
        words = torch.zeros(1, COST_TOKENS, dtype=torch.long)
        lengths = torch.zeros(1, dtype=torch.long)
    varied = parts(job.sites)
    for unit in (module for module in model.modules() if isinstance(module, AttentionUnit)):
        if unit.part not in varied:
            for module in unit.modules():
                vars(module)["is_mechanism"] = False  # of this instance only
    return count(model, lambda: model(words, lengths, words), [COST_TOKENS, COST_TOKENS])


def build(job: Job, words: int | None = None) -> tuple[Any, Any, SpatialAttentionTransformer]:
    """Return fairseq's configuration, task and model of the run.

    With `words` the vocabulary is made up, of that size, for a model that will see no sentence.
    """
    if words is None and not (job.data / "bin").is_dir():
        raise ValueError(f"{job.data / 'bin'} is missing: prepare the data set {job.recipe.data!r}")
    arguments = fairseq_arguments(job)
    logger.info("fairseq-train %s", shlex.join(arguments))
    parsed = options.parse_args_and_arch(options.get_training_parser(), arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fairseq calls hydra in the way of versions before 1.1
        configuration = convert_namespace_to_omegaconf(parsed)
    np.random.seed(job.seed)
    utils.set_torch_seed(job.seed)
    if words is None:
        task = tasks.setup_task(configuration.task)
    else:
        dictionary = made_up(words)
        task = TranslationTask(configuration.task, dictionary, dictionary)
    return configuration, task, task.build_model(configuration.model)


def made_up(words: int) -> Dictionary:
    """Return a dictionary of so many words, fairseq's own four among them."""
    dictionary = Dictionary()
    for number in range(words - dictionary.nspecial):
        dictionary.add_symbol(f"w{number}")
    return dictionary


def _train(job: Job) -> None:
    metrics.reset()
    configuration, task, model = build(job)
    processes = f"{job.world} processes, " if job.world > 1 else ""
    logger.info("%s%s", processes, job.recipe.step)
    _count_left_out(job)
    logger.info(model)
    criterion, trained = learning(job, configuration, task, model)
    evaluation = Evaluation(task, job.recipe, job.data)
    trainer = RecordingTrainer(job, evaluation, trained, configuration, task, model, criterion)

    def measured(extra: int = EXTRA_LENGTH) -> dict[str, float]:
        return _measured(evaluation, trainer.get_model(), trainer.get_criterion(), extra)

    if job.rank == 0 and not job.recorded("untrained"):
        job.record("untrained", step=0, epoch=0, **measured(UNTRAINED_LENGTH))
    checkpoint = distributed.decided(job, lambda: newest_readable(job.folder / "checkpoints"))
    if checkpoint is not None:
        configuration.checkpoint.restore_file = str(checkpoint)
    _, epochs = checkpoint_utils.load_checkpoint(configuration.checkpoint, trainer)
    if job.rank == 0 and _validation_is_missing(job, trainer.get_num_updates(), epochs):
        trainer.validate(epochs.epoch - 1)
    while _unfinished(job.recipe, trainer.get_num_updates(), epochs):
        fairseq_cli.train.train(configuration, trainer, task, epochs)
        trainer.lr_step(epochs.epoch)
        if not epochs.end_of_epoch():
            break  # the updates are made
        epochs = trainer.get_train_iterator(epochs.next_epoch_idx, load_dataset=False)
    if job.rank == 0:
        passes = epochs.next_epoch_idx - 1 + epochs.iterations_in_epoch / len(epochs)
        last = job.recipe.epochs if job.recipe.updates is None else round(passes, 4)
        values = measured()
        job.items(evaluation.items())
        job.record("val", step=trainer.get_num_updates(), epoch=last, **values)


def _count_left_out(job: Job) -> None:
    """Say how many training pairs do not fit; raise ValueError if none does."""
    left, number = left_out(job.data, job.recipe.tokens_per_batch)
    if left == number:
        raise ValueError(
            f"none of {number} training pairs fits into a batch of tokens_per_batch: "
            f"{job.recipe.tokens_per_batch}, or into the model, which reads {MAX_POSITIONS} units"
        )
    if left:
        logger.warning("%d of %d training pairs are too long and are left out", left, number)


def learning(job: Job, configuration: Any, task: Any, model: Any) -> tuple[Any, Trained]:
    """Prepare a model to learn in the recipe's way; return its criterion and its mechanisms."""
    if job.recipe.precision == "bfloat16":
        _learn_in_bfloat16(model, job.device)
    if job.recipe.compile:
        # Batches differ in the number and in the length of their sentences.
        compile_for_training(model.encoder, model.decoder, dynamic=True)
    criterion = task.build_criterion(configuration.criterion)
    trained = Trained(model, job.recipe.updates)
    _with_own_losses(criterion, trained)
    return criterion, trained


def _with_own_losses(criterion: Any, trained: Trained) -> None:
    """Let a criterion add the losses of mechanisms, which are means, to its sum over tokens."""
    if not trained.have_losses:
        return
    forward = criterion.forward

    def with_theirs(model: Any, sample: Any, **options: Any) -> tuple[Any, Any, Any]:
        loss, size, logged = forward(model, sample, **options)
        own = trained.loss() if model.training else None
        return (loss if own is None else loss + own * size), size, logged

    criterion.forward = with_theirs


def _learn_in_bfloat16(model: SpatialAttentionTransformer, device: str) -> None:
    """Let forward passes in training choose bfloat16 where that is safe.

    fairseq's own ``--bf16`` takes a machine without a GPU for a TPU; its ``--amp`` is float16.
    """
    forward = model.forward

    def cast(*inputs: Any, **options: Any) -> Any:
        with torch.autocast(device, torch.bfloat16, enabled=model.training):
            return forward(*inputs, **options)

    model.forward = cast


def _unfinished(recipe: Recipe, updates: int, epochs: Any) -> bool:
    """Whether epochs or updates are left to train."""
    if recipe.updates is None:
        return epochs.next_epoch_idx <= recipe.epochs
    return updates < recipe.updates


def _validation_is_missing(job: Job, updates: int, epochs: Any) -> bool:
    """Whether the run was stopped between the last epoch's checkpoint and its validation."""
    between_epochs = updates > 0 and epochs.iterations_in_epoch == 0
    return between_epochs and all(line["step"] != updates for line in job.recorded("val"))


@contextmanager
def _fairseq_group(job: Job) -> Iterator[None]:
    """Make the group that fairseq uses for all its communication, with our timeout."""
    if job.world == 1:
        yield
        return
    group = torch.distributed.new_group(timeout=distributed.PATIENCE)
    fairseq_distributed.get_global_group._global_group = group
    try:
        yield
    finally:
        del fairseq_distributed.get_global_group._global_group
