"""A run as the command line of ``fairseq-train``."""

from __future__ import annotations

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.training import distributed
from plugins.translation.data.indexed import MAX_POSITIONS
from plugins.translation.sites import PARTS, check, parts

__all__ = ["LOG_UPDATES", "SAVE_UPDATES", "attention_at", "fairseq_arguments"]

LOG_UPDATES = 10
"""Updates between two records of the training loss."""

SAVE_UPDATES = 1000
"""Updates between two checkpoints within an epoch."""

WORKERS = {"cpu": 0, "cuda": 1}
"""Processes that make batches, by device."""


def attention_at(job: Job) -> dict[str, Word]:
    """Return what attends in each part of the model."""
    varied, elsewhere = parts(job.sites), Word.parse(job.recipe.elsewhere)
    check(job.mechanism, job.sites, elsewhere)
    return {part: job.mechanism if part in varied else elsewhere for part in PARTS}


def fairseq_arguments(job: Job) -> list[str]:
    """Return the arguments that follow ``fairseq-train --user-dir plugins/translation``.

    With one process and not in bfloat16, that command trains the same model in the same way. It
    measures no BLEU and writes no ``metrics.jsonl``.
    """
    recipe, attention = job.recipe, attention_at(job)
    options = {
        "task": "translation",
        "arch": "spatial_attention_transformer",
        "encoder-self-attention": attention["encoder"],
        "decoder-self-attention": attention["decoder"],
        "cross-attention": attention["cross"],
        "max-source-positions": MAX_POSITIONS,
        "max-target-positions": MAX_POSITIONS,
        "dropout": recipe.dropout,
        "criterion": "label_smoothed_cross_entropy",
        "label-smoothing": recipe.label_smoothing,
        # Vaswani et al. 2017, section 5.3, with the paper's start of the warm-up.
        "optimizer": "adam",
        "adam-betas": "(0.9, 0.98)",
        "adam-eps": 1e-9,
        "lr-scheduler": "inverse_sqrt",
        "lr": recipe.learning_rate,
        "warmup-updates": recipe.warmup_updates,
        "warmup-init-lr": 1e-7,
        "max-tokens": recipe.tokens_per_batch,
        # With the default, 8, fairseq drops the last batch, which has the longest sentences, unless
        # its size happens to be a multiple of 8.
        "required-batch-size-multiple": 1,
        # Without it fairseq makes batches once per process, at the epoch that it starts with: a
        # resumed run would continue with other batches.
        "update-epoch-batch-itr": True,
        "update-freq": recipe.update_frequency,
        **(
            {"max-epoch": recipe.epochs}
            if recipe.updates is None
            else {"max-update": recipe.updates}
        ),
        "seed": job.seed,
        "save-dir": job.folder / "checkpoints",
        "save-interval-updates": SAVE_UPDATES,
        "keep-interval-updates": 1,
        "log-interval": LOG_UPDATES,
        # fairseq's default, 1, makes batches during training; a CPU is busy enough.
        "num-workers": WORKERS[job.device],
        "distributed-world-size": job.world,
    }
    if job.world > 1:
        options |= {
            "device-id": distributed.gpu(),
            # fairseq's wrapper around torch's own needs a GPU.
            "ddp-backend": "pytorch_ddp" if job.device == "cuda" else "legacy_ddp",
        }
    for half, layers in (("encoder", recipe.encoder_layers), ("decoder", recipe.decoder_layers)):
        options |= {
            f"{half}-layers": layers,
            f"{half}-embed-dim": recipe.width,
            f"{half}-ffn-embed-dim": recipe.ffn_width,
            f"{half}-attention-heads": recipe.heads,
        }
    flags = [
        "left-pad-source",  # a flag that turns it off, so that a column is a position
        "no-epoch-checkpoints",
        "disable-validation",
        "no-progress-bar",
    ]
    if not recipe.absolute_positions:
        flags.append("no-token-positional-embeddings")
    if recipe.shared_embeddings:
        flags.append("share-all-embeddings")
    if job.device == "cpu":
        flags.append("cpu")
    if recipe.precision == "float16" and job.device == "cuda":
        flags.append("fp16")
    if job.world > 1:
        # Otherwise the first process sends it to the others in a form that torch.load now refuses.
        flags.append("load-checkpoint-on-all-dp-ranks")
    arguments = [str(job.data / "bin")]
    for name, value in options.items():
        arguments += [f"--{name}", str(value)]
    return arguments + [f"--{flag}" for flag in flags]
