"""Position without E1: the weight of a key is a product over rows and columns.

The softmax numerator of key (y, x) for query q is ``exp(Ey(q, y)) exp(Ex(q, x)) exp(E3(y, x))``.
There are as many of the first two as there are rows and columns; the third goes with the value. The
output is then ``sum_y ay(q, y) sum_x ax(q, x) v(y, x)``: one large product over the columns, one
small over the rows, and no number for a pair of query and key.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.attend.in_torch import blocks
from plugins.attention.kernels.maps.blocked import blocked
from plugins.attention.kernels.maps.tiles import Tiles, in_single

__all__ = ["contract", "factored"]

_SPREAD = 60.0
"""Largest exponent that two factors may lose together. exp(-60) is far above the smallest normal
float32, exp(-87), and so no weight that a float32 softmax would show is lost."""


class _Contract(torch.autograd.Function):
    """See :func:`contract`; tensors are contiguous and have one dimension for B and M."""

    @staticmethod
    def forward(ctx: Any, along_y: Tensor, along_x: Tensor, value: Tensor) -> Tensor:
        key_rows = along_y.shape[2]
        out = along_y.new_empty(*along_y.shape[:2], value.shape[2] // key_rows)
        scratch = _scratch(along_x, value)
        for part in blocks(along_x, value.shape[2]):
            rows = _rows(scratch, part, along_x, value).unflatten(2, (key_rows, -1))
            weighted = torch.bmm(along_y[part].flatten(0, 1).unsqueeze(1), rows.flatten(0, 1))
            out[part] = weighted.view(out[part].shape)
        ctx.save_for_backward(along_y, along_x, value)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        along_y, along_x, value = ctx.saved_tensors
        grad = grad.contiguous()
        key_rows = along_y.shape[2]
        grads = torch.empty_like(along_y), torch.empty_like(along_x), torch.zeros_like(value)
        scratch = _scratch(along_x, value)
        with exactly(grad):
            for part in blocks(along_x, value.shape[2]):
                problem = part[0]
                rows = _rows(scratch, part, along_x, value).unflatten(2, (key_rows, -1))
                weighted = torch.bmm(rows.flatten(0, 1), grad[part].flatten(0, 1).unsqueeze(2))
                grads[0][part] = weighted.view(grads[0][part].shape)
                torch.mul(along_y[part].unsqueeze(3), grad[part].unsqueeze(2), out=rows)
                rows = rows.flatten(2)
                grads[1][part] = torch.bmm(rows, value[problem].mT)
                torch.baddbmm(grads[2][problem], along_x[part].mT, rows, out=grads[2][problem])
        return grads


def _scratch(along_x: Tensor, value: Tensor) -> Tensor:
    """Memory for the products of one block, used again for every block."""
    problem, queries = next(blocks(along_x, value.shape[2]))
    return value.new_empty(problem.stop * queries.stop, value.shape[2])


def _rows(scratch: Tensor, part: tuple[slice, slice], along_x: Tensor, value: Tensor) -> Tensor:
    """Sum of the values over the columns of each key row, (problems, queries, k_y * d)."""
    weights = along_x[part]
    rows = scratch[: weights.shape[0] * weights.shape[1]].view(*weights.shape[:2], -1)
    return torch.bmm(weights, value[part[0]], out=rows)


def contract(along_y: Tensor, along_x: Tensor, value: Tensor) -> Tensor:
    """Sum value (B, M, k_y, k_x, d) with weights along_y * along_x: (B, M, queries, d).

    Differentiable once. Nothing larger than a block is kept for the backward pass.

    Parameters
    ----------
    along_y, along_x: Tensor
        (B, M, queries, k_y) and (B, M, queries, k_x).
    """
    columns_first = value.transpose(2, 3).flatten(3)
    tensors = (t.flatten(0, 1).contiguous() for t in (along_y, along_x, columns_first))
    return _Contract.apply(*tensors).unflatten(0, along_y.shape[:2])


def factored(tiles: Tiles) -> Tensor:
    """0100, 0101, 0110, 0111: (N, H, W, M * d)."""
    if tiles.value.shape[3] < tiles.value.shape[4]:
        return blocked(
            tiles
        )  # fewer key columns than features: products would be larger than weights
    along_x = tiles.along_columns()
    if not tiles.block.e3:
        weights = tiles.along_rows().softmax(dim=-1), along_x.softmax(dim=-1)
        return tiles.join(contract(*weights, in_single(tiles.value)).to(tiles.value.dtype))
    key = tiles.key_energy
    if not _fits(along_x, key):
        return blocked(tiles)
    # Shifts cancel in the quotient, and so need no gradient.
    top = key.detach().amax(dim=3)  # (B, M, k_y)
    along_y = (tiles.along_rows() + top.unsqueeze(2)).softmax(dim=-1)
    along_x = (along_x - along_x.detach().amax(dim=3, keepdim=True)).exp()
    scale = (key - top.unsqueeze(3)).exp().unsqueeze(4)
    value = torch.cat([in_single(tiles.value) * scale, scale], dim=4)
    total = contract(along_y, along_x, value)
    return tiles.join((total[..., :-1] / total[..., -1:]).to(tiles.value.dtype))


def _fits(along_x: Tensor, key: Tensor) -> bool:
    """Whether no key's factors underflow together: then the form is as exact as a softmax."""
    if along_x.is_meta:
        return True  # no numbers to look at; the form of moderate energies is what is counted
    along_x, key = along_x.detach(), key.detach()
    lowest = along_x.masked_fill(along_x.isneginf(), float("inf")).amin(dim=3)
    spread = (along_x.amax(dim=3) - lowest).max() + (key.amax(dim=3) - key.amin(dim=3)).max()
    return bool(spread <= _SPREAD)
