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

import torch
from torch import Tensor

from plugins.attention.kernels.sequences.factors import Factors, diagonal
from plugins.attention.kernels.sequences.relative import diagonals
from plugins.attention.kernels.sequences.visible import Visible

__all__ = ["backward", "flops", "forward"]

ROWS = 64
"""Queries of a block; measured best of 32, 64 and 128 on a CPU."""

BLOCK_ENERGIES = 1 << 18
"""Energies of a block: a megabyte in single precision, half of a CPU's usual L2 cache."""


@dataclass
class _Block:
    """Some queries of some sentences, and the keys that they reach."""

    sentences: slice
    rows: slice
    keys: slice
    offsets: slice
    bias: Tensor | None  # (M or 1, sentences or 1, rows, keys)
    blind: Tensor | None  # (1, sentences or 1, rows or 1, 1), true where a query sees nothing

    def weights(self, f: Factors) -> Tensor:
        """Weights of the block, (M or 1, sentences or 1, rows, keys)."""
        energy = None
        if f.content is not None and f.key is not None:
            key = f.key[:, self.sentences, self.keys]
            energy = f.content[:, self.sentences, self.rows] @ key.transpose(2, 3)
        if f.position is not None and f.relative is not None:
            position = f.position[:, self.sentences, self.rows]
            relative = f.relative[:, self.offsets]
            by_offset = position.flatten(1, 2) @ relative.transpose(1, 2)
            by_offset = diagonal(by_offset.view(*position.shape[:3], -1))
            energy = by_offset if energy is None else energy.add_(by_offset)
        if f.score is not None:
            score = f.score[:, self.sentences, None, self.keys]
            energy = score if energy is None else energy + score
        if self.bias is not None:
            energy = self.bias if energy is None else energy + self.bias
        if energy is None:
            energy = f.value.new_zeros(1, 1, 1, self.keys.stop - self.keys.start)
        weights = energy.expand(-1, -1, self.rows.stop - self.rows.start, -1).softmax(dim=-1)
        return weights if self.blind is None else weights.masked_fill(self.blind, 0.0)

    def backward(self, f: Factors, grad_out: Tensor, grad: Factors) -> None:
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
            diagonal(by_offset).copy_(slope)
            by_offset = by_offset.flatten(1, 2)
            product = by_offset @ f.relative[:, self.offsets]
            grad.position[:, self.sentences, self.rows] = product.view_as(position)
            grad.relative[:, self.offsets] += by_offset.transpose(1, 2) @ position.flatten(1, 2)
        if f.table is not None:
            assert grad.table is not None
            slope = slope.sum(dim=1)
            by_offset = slope.new_zeros(*slope.shape[:2], self.offsets.stop - self.offsets.start)
            diagonal(by_offset).copy_(slope)
            grad.table[:, self.offsets] += by_offset.sum(dim=1)


def _blocks(f: Factors, visible: Visible, last_offset: int) -> Iterator[_Block]:
    """Cut the work into blocks. `last_offset` is that of the first column of `table`, plus 1."""
    heads, sentences = f.value.shape[:2]
    for rows, keys in _rows_and_keys(visible):
        count, width = rows.stop - rows.start, keys.stop - keys.start
        start = last_offset - (visible.start + rows.stop) + keys.start
        offsets = slice(start, start + count + width - 1)
        shared = None
        if f.table is not None:
            shared = diagonals(f.table[:, offsets], width)[:, None]
        far = visible.unreachable(rows, keys, f.value.device)
        if far is not None:
            beyond = _bias(far, f.value)[None, None]
            shared = beyond if shared is None else shared + beyond
        step = max(1, BLOCK_ENERGIES // (heads * count * width))
        for n in range(0, sentences, step):
            some = slice(n, min(n + step, sentences))
            bias, hidden = shared, None if far is None else far[None]
            if visible.padding is not None:
                padding = visible.padding[some, None, keys]
                real = _bias(padding, f.value)[None]
                bias = real if shared is None else shared + real
                hidden = padding if hidden is None else hidden | padding
            blind = visible.blind(hidden)
            blind = None if blind is None or not bool(blind.any()) else blind[None]
            yield _Block(some, rows, keys, offsets, bias, blind)


def _bias(hidden: Tensor, like: Tensor) -> Tensor:
    return torch.zeros_like(hidden, dtype=like.dtype).masked_fill_(hidden, -math.inf)


def _rows_and_keys(visible: Visible) -> Iterator[tuple[slice, slice]]:
    """The queries of each block and the keys that they reach, where there are any."""
    for first in range(0, visible.queries, ROWS):
        rows = slice(first, min(first + ROWS, visible.queries))
        keys = visible.reach(rows)
        if keys.stop > keys.start:
            yield rows, keys


def forward(f: Factors, visible: Visible, last_offset: int, out: Tensor) -> None:
    """Write the weighted sum of the values to `out` (M, N, T, d)."""
    if not visible.all_reach_some:
        out.zero_()
    for block in _blocks(f, visible, last_offset):
        value = f.value[:, block.sentences, block.keys]
        out[:, block.sentences, block.rows] = block.weights(f) @ value


def backward(
    f: Factors, visible: Visible, last_offset: int, grad_out: Tensor, grad: Factors
) -> None:
    """Add the gradients to `grad`; `grad_out` is (M, N, T, d)."""
    for block in _blocks(f, visible, last_offset):
        block.backward(f, grad_out, grad)


def flops(shape: tuple[int, ...], content: int, position: int, visible: Visible) -> tuple[int, int]:
    """FLOPs of the energies, and of the product of weights and values, as they are computed.

    `shape` is that of the values, (M, N, S, d); `content` and `position` are the features of either
    query, 0 if there is none.
    """
    energies = pairs = 0
    for rows, keys in _rows_and_keys(visible):
        count, width = rows.stop - rows.start, keys.stop - keys.start
        energies += count * width * content + count * (count + width - 1) * position
        pairs += count * width
    problems = 2 * shape[0] * shape[1]
    return problems * energies, problems * pairs * shape[3]
