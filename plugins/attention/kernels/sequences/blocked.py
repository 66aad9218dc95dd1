"""Attention over a sequence in blocks that stay in the cache, forward and backward.

A block is the queries of some neighbours in some sentences, together with the keys that they can
reach: with a causal mask or a spatial range, only the part near the diagonal is computed. Nothing
of the size queries x keys is kept: the backward pass computes each block's weights anew, as in
FlashAttention (Dao et al. 2022, https://arxiv.org/abs/2205.14135), which has no learned energies of
relative positions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.sequences.energies import Energies
from plugins.attention.kernels.sequences.relative import by_offset, diagonals
from plugins.attention.kernels.sequences.visible import Visible

__all__ = ["attend_in_blocks"]

ROWS = 64
"""Queries of a block; measured best of 32, 64 and 128 on a CPU."""

BLOCK_ENERGIES = {"cpu": 1 << 18, "meta": 1 << 18}
"""Energies of a block, by device: a megabyte in single precision, half of a usual L2 cache. The
meta device, where cost is counted, is treated as a CPU."""

MANY_ENERGIES = 1 << 26
"""The same elsewhere, where few large operations are better than many small ones."""


def attend_in_blocks(energies: Energies, value: Tensor, visible: Visible) -> Tensor:
    """Return the weighted sum of `value` (N, M, S, d): (N, M, T, d).

    Energies and weights are of at least single precision, also under autocast.
    """
    # A block at the edge also holds offsets that no query can see.
    seen, rows = visible.offsets(), min(ROWS, visible.queries)
    offsets = range(seen.start - rows + 1, seen.stop + rows - 1)
    relative, table = energies.relative, energies.table
    if relative is not None:
        relative = by_offset(relative, energies.offsets, offsets)
    if table is not None:
        table = by_offset(table[..., None], energies.offsets, offsets)[..., 0]
    # Heads first: the offsets of a head serve all sentences in one product.
    factors = [
        None if factor is None else factor.transpose(0, 1)
        for factor in (energies.content, energies.key, energies.score, energies.position)
    ]
    factors += [relative, table, value.transpose(0, 1)]
    factors = [
        None if factor is None else factor.to(torch.promote_types(factor.dtype, torch.float32))
        for factor in factors
    ]
    with exactly(value):
        out: Tensor = _Blocks.apply(visible, offsets.stop, *factors)
    return out.transpose(0, 1).to(value.dtype)


@dataclass
class _Factors:
    """The factors of `Energies` with heads first, or the gradients with respect to them."""

    content: Tensor | None
    key: Tensor | None
    score: Tensor | None
    position: Tensor | None
    relative: Tensor | None
    table: Tensor | None
    value: Tensor


@dataclass
class _Block:
    """Some queries of some sentences, and the keys that they reach."""

    sentences: slice
    rows: slice
    keys: slice
    offsets: slice
    bias: Tensor | None  # (M or 1, sentences or 1, rows, keys)

    def weights(self, f: _Factors) -> Tensor:
        """Weights of the block, (M or 1, sentences or 1, rows, keys)."""
        energy = None
        if f.content is not None and f.key is not None:
            key = f.key[:, self.sentences, self.keys]
            energy = f.content[:, self.sentences, self.rows] @ key.transpose(2, 3)
        if f.position is not None and f.relative is not None:
            position = f.position[:, self.sentences, self.rows]
            relative = f.relative[:, self.offsets]
            by_offset = position.flatten(1, 2) @ relative.transpose(1, 2)
            by_offset = _diagonals(by_offset.view(*position.shape[:3], -1))
            energy = by_offset if energy is None else energy.add_(by_offset)
        if f.score is not None:
            score = f.score[:, self.sentences, None, self.keys]
            energy = score if energy is None else energy + score
        if self.bias is not None:
            energy = self.bias if energy is None else energy + self.bias
        if energy is None:
            energy = f.value.new_zeros(1, 1, 1, self.keys.stop - self.keys.start)
        return energy.expand(-1, -1, self.rows.stop - self.rows.start, -1).softmax(dim=-1)

    def backward(self, f: _Factors, grad_out: Tensor, grad: _Factors) -> None:
        """Add the gradients of the block to `grad`."""
        weights, grad_out = self.weights(f), grad_out[:, self.sentences, self.rows]
        value = f.value[:, self.sentences, self.keys]
        grad.value[:, self.sentences, self.keys] += weights.transpose(2, 3) @ grad_out
        if f.content is f.score is f.position is f.table is None:
            return
        slope = grad_out @ value.transpose(2, 3)
        slope = torch._softmax_backward_data(slope, weights.expand_as(slope), -1, slope.dtype)
        if f.content is not None and f.key is not None:
            assert grad.content is not None
            assert grad.key is not None
            content, key = f.content[:, self.sentences, self.rows], f.key[:, self.sentences]
            grad.content[:, self.sentences, self.rows] = slope @ key[:, :, self.keys]
            grad.key[:, self.sentences, self.keys] += slope.transpose(2, 3) @ content
        if f.score is not None:
            assert grad.score is not None
            grad.score[:, self.sentences, self.keys] += slope.sum(dim=2)
        if f.position is not None and f.relative is not None:
            assert grad.position is not None
            assert grad.relative is not None
            position = f.position[:, self.sentences, self.rows]
            by_offset = slope.new_zeros(*slope.shape[:3], self.offsets.stop - self.offsets.start)
            _diagonals(by_offset).copy_(slope)
            by_offset = by_offset.flatten(1, 2)
            product = by_offset @ f.relative[:, self.offsets]
            grad.position[:, self.sentences, self.rows] = product.view_as(position)
            grad.relative[:, self.offsets] += by_offset.transpose(1, 2) @ position.flatten(1, 2)
        if f.table is not None:
            assert grad.table is not None
            slope = slope.sum(dim=1)
            by_offset = slope.new_zeros(*slope.shape[:2], self.offsets.stop - self.offsets.start)
            _diagonals(by_offset).copy_(slope)
            grad.table[:, self.offsets] += by_offset.sum(dim=1)


def _diagonals(by_offset: Tensor) -> Tensor:
    """View (..., rows, rows + keys - 1) by offset as (..., rows, keys); see `relative1d.spread`."""
    rows, columns = by_offset.shape[-2:]
    return by_offset.as_strided(
        (*by_offset.shape[:-1], columns - rows + 1),
        (*by_offset.stride()[:-2], columns - 1, 1),
        by_offset.storage_offset() + rows - 1,
    )


def _blocks(f: _Factors, visible: Visible, last_offset: int) -> Iterator[_Block]:
    """Cut the work into blocks. `last_offset` is that of the first column of `table`, plus 1."""
    heads, sentences = f.value.shape[:2]
    device, dtype = f.value.device, f.value.dtype
    most = BLOCK_ENERGIES.get(device.type, MANY_ENERGIES)
    for first in range(0, visible.queries, ROWS):
        rows = slice(first, min(first + ROWS, visible.queries))
        keys = visible.reach(rows)
        count, width = rows.stop - rows.start, keys.stop - keys.start
        start = last_offset - (visible.start + rows.stop) + keys.start
        offsets = slice(start, start + count + width - 1)
        shared = None
        if f.table is not None:
            shared = diagonals(f.table[:, offsets], width)[:, None]
        far = visible.unreachable(rows, keys, device)
        if far is not None:
            far = torch.zeros(far.shape, dtype=dtype, device=device).masked_fill_(far, -math.inf)
            shared = far[None, None] if shared is None else shared + far
        step = max(1, most // (heads * count * width))
        for n in range(0, sentences, step):
            some = slice(n, min(n + step, sentences))
            bias, padding = shared, visible.padded(some, rows, keys)
            if padding is not None:
                hidden = torch.zeros(padding.shape, dtype=dtype, device=device)
                hidden = hidden.masked_fill_(padding, -math.inf)
                bias = hidden[None] if bias is None else bias + hidden
            yield _Block(some, rows, keys, offsets, bias)


class _Blocks(torch.autograd.Function):
    """See `attend_in_blocks`; its backward pass has no derivative."""

    @staticmethod
    def forward(ctx: Any, visible: Visible, last_offset: int, *tensors: Tensor | None) -> Tensor:
        ctx.visible, ctx.last_offset = visible, last_offset
        ctx.save_for_backward(*tensors)
        f = _Factors(*tensors)  # type: ignore[arg-type]
        heads, sentences, _, features = f.value.shape
        out = f.value.new_empty(sentences, visible.queries, heads, features).permute(2, 0, 1, 3)
        for block in _blocks(f, visible, last_offset):
            value = f.value[:, block.sentences, block.keys]
            out[:, block.sentences, block.rows] = block.weights(f) @ value
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:
        f = _Factors(*ctx.saved_tensors)
        gradients = [None if t is None else torch.zeros_like(t) for t in ctx.saved_tensors]
        grad = _Factors(*gradients)  # type: ignore[arg-type]
        for block in _blocks(f, ctx.visible, ctx.last_offset):
            block.backward(f, grad_out, grad)
        return None, None, *gradients
