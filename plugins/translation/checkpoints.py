"""Reading fairseq's checkpoints with a current torch, whole or torn.

Since version 2.6 ``torch.load`` unpickles only classes that are known to be harmless. A fairseq
checkpoint has its configuration beside the weights, so this module allows its classes by name.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path
from typing import Any

import torch
from fairseq import checkpoint_utils

from plugins.contracts.job import CheckpointError
from plugins.training.checkpoints import entry, few, misfits, parameters, unreadable

__all__ = [
    "LAST",
    "PREVIOUS",
    "WITHIN_EPOCH",
    "allow_configurations",
    "load_weights",
    "newest_readable",
]

LAST = "checkpoint_last.pt"
PREVIOUS = "checkpoint_previous.pt"
WITHIN_EPOCH = "checkpoint_*_*.pt"
"""fairseq's names for the checkpoint of an epoch or an update."""

MEANING = (
    "arch",
    "encoder_self_attention",
    "decoder_self_attention",
    "cross_attention",
    "encoder_attention_heads",
    "decoder_attention_heads",
    "left_pad_source",
    "no_token_positional_embeddings",
)
"""Options that decide what a model computes, though its parameters may not show them."""

logger = logging.getLogger(__name__)


def allow_configurations() -> None:
    """Let ``torch.load`` read the configuration in a checkpoint."""
    torch.serialization.add_safe_globals([argparse.Namespace])


def newest_readable(folder: Path) -> Path | None:
    """Return the newest checkpoint of `folder` that can be read, None if there is none.

    If a machine goes down while it writes a checkpoint, the file ends too early. Such files, and
    those that hold anything to execute, are renamed to ``unreadable_...``, so that they never
    replace a good one.
    """
    checkpoints = folder.glob("checkpoint*.pt")
    for path in sorted(checkpoints, key=lambda path: path.stat().st_mtime_ns, reverse=True):
        try:
            # weights_only is explicit, because many set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD, which
            # overrules fairseq's default. With mmap no weights are read.
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
            checkpoint_utils.load_checkpoint_to_cpu(str(path))
        except Exception as error:  # torn bytes can raise anything in the unpickler
            logger.warning("%s cannot be read: %r", path, error)
            path.replace(path.with_name(f"unreadable_{path.name}"))
        else:
            return path
    return None


def load_weights(model: torch.nn.Module, options: Any, path: Path) -> None:
    """Put the weights of a checkpoint into a model, all of them and no others.

    Parameters
    ----------
    model: nn.Module
        Built from `options`.
    options: argparse.Namespace
        The model's options, as fairseq has them.
    path: Path
        A checkpoint of ``fairseq-train``.

    Raises
    ------
    CheckpointError
        If it cannot be read, has other parameters, or was made with other options.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # wrong bytes can raise anything in the unpickler
        raise unreadable(path, error) from None
    if not isinstance(content, dict) or "model" not in content:
        there = few(content) if isinstance(content, dict) else type(content).__name__
        raise CheckpointError(
            f"{path} is no checkpoint of fairseq: it has no 'model', but {there or 'nothing'}"
        )
    given = parameters(path, content["model"], "its 'model'")
    made_with = _options(path, content)
    upgrade = getattr(model, "upgrade_state_dict", None)
    if upgrade is not None:  # fairseq's way to read names of earlier versions
        upgrade(given)
    parts = [
        f"its {name} is {made_with[name]}, here {getattr(options, name, None)}"
        for name in MEANING
        if name in made_with and made_with[name] != getattr(options, name, None)
    ]
    if parts := parts + misfits(model.state_dict(), given):
        raise CheckpointError(f"{path} is of another model: {'; '.join(parts)}")
    model.load_state_dict(given)


def _options(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the model in a checkpoint."""
    cfg = entry(path, content, "cfg", dict) or {}
    options = entry(path, cfg, "model", argparse.Namespace, dict)
    if options is None:  # fairseq 0.9 and older
        options = entry(path, content, "args", argparse.Namespace)
    if options is None:
        raise CheckpointError(
            f"{path} has no 'cfg' with a 'model', where fairseq keeps the model's options: how many"
            " heads there are, and which terms attend, its parameters do not show"
        )
    return options if isinstance(options, dict) else vars(options)
