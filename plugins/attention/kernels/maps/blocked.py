"""Softmax attention in blocks of queries, recalculated in the backward pass.

Neither pass keeps energies or weights for more than one block, and a block stays within the
processor's cache, where the softmax costs less than the products. The energies of position, a sum
over the two axes, go into the block before the product is added in place; a folded product would
multiply over more features for the same sum.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import Tiles, in_single

__all__ = ["attend", "blocked", "blocks"]

_CACHED, _ON_DEVICE = 1 << 18, 1 << 26
"""Energies a block: a megabyte of float32, which a core's second-level cache holds; a quarter of a
gigabyte elsewhere, where a call costs more than a pass through memory."""


def blocks(query: Tensor, row: int) -> Iterator[tuple[slice, slice]]:
    """Cut `query`, (problems, queries, ...), so that `row` numbers a query fill about the cache.

    Yields
    ------
    tuple of two slices
        Either several whole problems or a part of one.
    """
    problems, queries = query.shape[:2]
    rows = max(1, (_CACHED if query.device.type == "cpu" else _ON_DEVICE) // row)
    together = max(1, rows // queries)
    # Equal parts: a short last one would multiply small matrices.
    rows = -(-queries // -(-queries // rows))
    for problem in range(0, problems, together):
        for first in range(0, queries, rows):
            yield (
                slice(problem, min(problem + together, problems)),
                slice(first, min(first + rows, queries)),
            )


class _Attend(torch.autograd.Function):
    """See :func:`attend`; tensors are contiguous and have one dimension for B and M."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor | None,
        key: Tensor | None,
        value: Tensor,
        rows: Tensor,
        columns: Tensor,
    ) -> Tensor:
        out = value.new_empty(*rows.shape[:2], value.shape[2])
        scratch = _Scratch(rows, value)
        for part in blocks(rows, value.shape[1]):
            weights, _ = scratch.weights(part, query, key, rows, columns)
            out[part] = torch.bmm(weights, value[part[0]])
        ctx.save_for_backward(query, key, value, rows, columns)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, rows, columns = ctx.saved_tensors
        grad = grad.contiguous()
        of_query = None if query is None else torch.empty_like(query)
        of_key = None if key is None else torch.zeros_like(key)
        of_value = torch.zeros_like(value)
        of_rows, of_columns = torch.empty_like(rows), torch.empty_like(columns)
        scratch = _Scratch(rows, value)
        with exactly(grad):
            for part in blocks(rows, value.shape[1]):
                problem = part[0]
                weights, energy = scratch.weights(part, query, key, rows, columns)
                torch.baddbmm(of_value[problem], weights.mT, grad[part], out=of_value[problem])
                torch.bmm(grad[part], value[problem].mT, out=energy)
                # Not by way of the output, as flash attention does: where one weight is nearly 1,
                # this sum cancels its gradient exactly.
                torch._softmax_backward_data(energy, weights, -1, energy.dtype, grad_input=energy)
                if of_query is not None and of_key is not None:
                    of_query[part] = torch.bmm(energy, key[problem])
                    torch.baddbmm(of_key[problem], energy.mT, query[part], out=of_key[problem])
                split = energy.unflatten(2, (rows.shape[2], columns.shape[2]))
                of_rows[part] = split.sum(dim=3)
                of_columns[part] = split.sum(dim=2)
        return of_query, of_key, of_value, of_rows, of_columns


class _Scratch:
    """Memory of one block's energies and weights, used again for every block."""

    def __init__(self, rows: Tensor, value: Tensor) -> None:
        problem, queries = next(blocks(rows, value.shape[1]))
        size = (problem.stop * queries.stop, value.shape[1])
        self.energy, self.softmax = value.new_empty(size), value.new_empty(size)

    def weights(
        self,
        part: tuple[slice, slice],
        query: Tensor | None,
        key: Tensor | None,
        rows: Tensor,
        columns: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Weights of a block, (problems, queries, keys), and memory of the same shape."""
        row, column = rows[part], columns[part]
        shape = (*row.shape[:2], -1)
        energy = self.energy[: row.shape[0] * row.shape[1]].view(shape)
        softmax = self.softmax[: row.shape[0] * row.shape[1]].view(shape)
        split = energy.unflatten(2, (row.shape[2], column.shape[2]))
        torch.add(row.unsqueeze(3), column.unsqueeze(2), out=split)
        if query is not None and key is not None:
            torch.baddbmm(energy, query[part], key[part[0]].mT, out=energy)
        torch.softmax(energy, dim=-1, out=softmax)
        return softmax, energy


def attend(
    query: Tensor | None, key: Tensor | None, value: Tensor, rows: Tensor, columns: Tensor
) -> Tensor:
    """Attend with energies query . key + rows + columns.

    Differentiable once.

    Parameters
    ----------
    query, key: Tensor, optional
        (B, M, queries, c) and (B, M, k_y * k_x, c); both or none.
    value: Tensor
        (B, M, k_y * k_x, d).
    rows, columns: Tensor
        (B, M, queries, k_y) and (B, M, queries, k_x); -inf leaves a key row (column) out.

    Returns
    -------
    Tensor
        (B, M, queries, d).
    """
    tensors = (
        None if tensor is None else tensor.flatten(0, 1).contiguous()
        for tensor in (query, key, value, rows, columns)
    )
    return _Attend.apply(*tensors).unflatten(0, rows.shape[:2])


def blocked(tiles: Tiles) -> Tensor:
    """Any terms: (N, H, W, M * d)."""
    value, query, key = tiles.value.flatten(2, 3), None, None
    if tiles.block.e1:
        query, key = in_single(tiles.content_query), in_single(tiles.key.flatten(2, 3))
    elif tiles.block.e3:
        # One feature: 1 of every query and E3 of the key.
        key = tiles.key_energy.flatten(2).unsqueeze(3)
        query = key.new_ones(1).expand(*key.shape[:2], tiles.tile[0] * tiles.tile[1], 1)
    attended = attend(query, key, in_single(value), tiles.along_rows(), tiles.along_columns())
    return tiles.join(attended.to(value.dtype))
