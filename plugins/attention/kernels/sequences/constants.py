"""Tensors that depend on nothing but sizes, kept so that each is made only once."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["constant", "filled"]

KEPT = 32
"""Constants of a kind that are kept. Sentences of a training have some dozens of lengths."""


def constant(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep what `make` returns; nobody may write to it.

    What is compiled makes its constants within the graph, where they follow the sizes. A fake
    tensor, by which a graph is traced, is not kept either: it would reach real calls.
    """

    @functools.lru_cache(maxsize=KEPT)
    def kept(*args: Any) -> Tensor:
        with torch.inference_mode(False):
            return make(*args)

    @functools.wraps(make)
    def get(*args: Any) -> Tensor:
        if torch.compiler.is_compiling() or _is_traced():
            return make(*args)
        return kept(*args)

    return get


def _is_traced() -> bool:
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


@constant
def filled(
    size: int | tuple[int, ...], value: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Make a tensor of one value."""
    return torch.full(
        size if isinstance(size, tuple) else (size,), value, dtype=dtype, device=device
    )
