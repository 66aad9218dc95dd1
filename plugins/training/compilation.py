"""torch.compile around the attention mechanisms, for training alone."""

from __future__ import annotations

from typing import Any

import torch

# Every training imports this, with its first seed or optimizer. Importing it here lets the process
# that forks workers do so once for all of them.
import torch._dynamo
from torch import nn

__all__ = ["compile_around_mechanisms"]


def compile_around_mechanisms(model: nn.Module, **options: Any) -> None:
    """Compile `model` on its first calls, except for the attention mechanisms.

    These work in blocks whose size depends on the map, with gradients of their own. A graph of that
    is larger and slower, and cannot be compiled for unknown sizes. `options` are those of
    ``torch.compile``.
    """
    for module in model.modules():
        if getattr(module, "is_mechanism", False):
            module.forward = torch.compiler.disable(module.forward)
    model.compile(**options)
