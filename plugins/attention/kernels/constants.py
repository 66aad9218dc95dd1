"""Tensors that depend on shapes alone are made once on each device, and kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["kept"]


def kept(maxsize: int) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    """Keep the tensors that a function returned last, by its arguments.

    The function takes a device, and is called with a tensor of that device instead. It runs anew
    wherever its result must not be kept: while torch traces, and while a CUDA graph is captured,
    which has calculated nothing yet.

    Parameters
    ----------
    maxsize: int
        How many tensors are kept.
    """

    def keep(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.lru_cache(maxsize=maxsize)
        def remembered(*arguments: Any) -> Tensor:
            # A tensor made in inference mode could not be saved for a gradient later.
            with torch.inference_mode(False):
                return make(*arguments)

        @functools.wraps(make)
        def get(like: Tensor, *arguments: Any) -> Tensor:
            # While torch traces, tensors are of a class of its own.
            traced = torch.compiler.is_compiling() or type(like) is not Tensor
            if traced or (like.is_cuda and torch.cuda.is_current_stream_capturing()):
                return make(like.device, *arguments)
            return remembered(like.device, *arguments)

        return get

    return keep
