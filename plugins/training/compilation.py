"""torch.compile, for training alone."""

from __future__ import annotations

from typing import Any

# Every training imports this, with its first seed or optimizer. Importing it here lets the process
# that forks workers do so once for all of them.
from torch import nn

__all__ = ["compile_for_training"]


def compile_for_training(*modules: nn.Module, **options: Any) -> None:
    """Compile modules on their first calls, the mechanisms within them included.

    What a mechanism does in blocks or by a kernel is one operator to the compiler, and so maps and
    sentences may have any size. `options` are those of ``torch.compile``.
    """
    for module in modules:
        module.compile(**options)
