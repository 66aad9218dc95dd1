"""How results and gradients of the operator lie in memory, the same for each evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["empty_gradient", "empty_heads_last"]


def empty_heads_last(shape: Sequence[int], like: Tensor) -> Tensor:
    """Make (B, M, o, i, features) that lies as (B, o, i, M, features): projections do so."""
    batch, heads, outer, inner, features = shape
    return like.new_empty(batch, outer, inner, heads, features).permute(0, 3, 1, 2, 4)


def empty_gradient(of: Tensor, cleared: bool = False) -> Tensor:
    """Make memory for the gradient of a table, laid out as the table if that is not expanded."""
    sizes = zip(of.stride(), of.shape, strict=True)
    expanded = any(stride == 0 and size > 1 for stride, size in sizes)
    gradient = of.new_empty(of.shape) if expanded else torch.empty_like(of)
    return gradient.zero_() if cleared else gradient
