"""torch.compile around the attention mechanisms, for training alone."""

from __future__ import annotations

from typing import Any

import torch

# Every training imports it, with its first seed or optimizer. Here a process that workers are
# forked from imports it once for all of them.
import torch._dynamo
from torch import nn

__all__ = ["compile_around_mechanisms"]


def compile_around_mechanisms(model: nn.Module, **options: Any) -> None:
    """Let the first calls of `model` compile it, all but the attention mechanisms.

    These calculate in blocks of a size that depends on the map's, with gradients of their own: a
    graph of that is larger and slower, and cannot be compiled for sizes that are not known.
    `options` are those of ``torch.compile``.
    """
    for module in model.modules():
        if getattr(module, "is_mechanism", False):
            module.forward = torch.compiler.disable(module.forward)
    model.compile(**options)
