"""Rows that several queries share: keys of an image, which is asked several questions."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["each"]


def each(x: Tensor, rows: Tensor | None) -> Tensor:
    """Return for each of N queries its row of (M, ...), by the number of that row, (N,).

    None: they are as many, and in the same order. What is made of M rows first is made once for all
    queries of a row.
    """
    if rows is None:
        return x
    found: Tensor = _Each.apply(x, rows)
    return found


class _Each(torch.autograd.Function):
    """Indexing whose gradient adds up by a product, in a fixed order.

    torch's own adds in any order with several threads of a CPU (`index_put`) or on a GPU
    (`index_select`), see `torch.use_deterministic_algorithms`. On a CPU it takes twice as long.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.number = len(x)
        return x[rows]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        numbers = torch.arange(ctx.number, device=rows.device)
        of_row = (numbers[:, None] == rows).to(gradient.dtype)
        added = of_row @ gradient.flatten(1)
        return added.view(ctx.number, *gradient.shape[1:]), None
