"""Tensors that depend on sizes alone are made once on each device, and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["constant", "filled"]

KEPT = 64
"""Constants of a kind that are kept: maps and sentences of a training have some dozens of sizes."""


def constant(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Keep what `make` returns, by its arguments; nobody may write to it.

    A result that is no use later is not kept. A graph that is traced or compiled makes its own,
    which follows the sizes. What is made while a CUDA graph is captured has no numbers yet.
    """

    @functools.lru_cache(maxsize=KEPT)
    def kept(*arguments: Any) -> Tensor:
        # A tensor made in inference mode could not be saved for a gradient later.
        with torch.inference_mode(False):
            return make(*arguments)

    @functools.wraps(make)
    def get(*arguments: Any) -> Tensor:
        if torch.compiler.is_compiling() or _is_traced() or _is_captured():
            return make(*arguments)
        return kept(*arguments)

    return get


def _is_traced() -> bool:
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


def _is_captured() -> bool:
    return torch.cuda.is_initialized() and torch.cuda.is_current_stream_capturing()


@constant
def filled(
    size: int | tuple[int, ...], value: float, dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Make a tensor of one value."""
    return torch.full(
        size if isinstance(size, tuple) else (size,), value, dtype=dtype, device=device
    )
