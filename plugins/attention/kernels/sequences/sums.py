"""Attention whose weights are products of one factor by key and one by offset.

These are the sets without E1 and E2. Exponentials of the energies are added up before the quotient,
which is exact as long as no two energies are too far apart.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from plugins.attention.kernels.sequences.factors import Factors, diagonal
from plugins.attention.kernels.sequences.relative import by_offset, diagonals
from plugins.attention.kernels.sequences.visible import Offsets, Visible

__all__ = ["backward", "exponentials", "flops", "forward"]

LARGEST_SPAN = 60.0
"""Largest difference between energies whose exponentials are added up before the quotient: the
sums are then at least exp(-60) = 9e-27 of the largest, far from the end of single precision."""

PREFIX_CHUNK = 64
"""Positions summed by one product; measured best of 32, 64, 128 and of ``cumsum`` on a CPU."""


def exponentials(f: Factors, visible: Visible) -> Tensor | None:
    """exp(score - its maximum), 0 for padding, (M or 1, N or 1, S); None if it spans too much."""
    span, score, padding = LARGEST_SPAN, f.score, visible.padding
    if f.table is not None:
        span -= float(f.table.amax() - f.table.amin())
    if score is None:
        if span < 0:
            return None
        if padding is None:
            return f.value.new_ones(1, 1, visible.keys)
        return (~padding[None]).to(f.value.dtype)
    lowest = highest = score
    if padding is not None:
        lowest = lowest.masked_fill(padding, math.inf)
        highest = score = score.masked_fill(padding, -math.inf)
    highest = highest.amax(dim=-1, keepdim=True)
    if not bool((highest[..., 0] - lowest.amin(dim=-1) <= span).all()):
        return None
    # Of a sentence that is all padding the maximum is -inf.
    return (score - highest.clamp(min=torch.finfo(score.dtype).min)).exp()


def forward(f: Factors, visible: Visible, last_offset: int, weight: Tensor, out: Tensor) -> None:
    """Write the weighted sum of the values to `out` (M, N, T, d)."""
    sums = _sums(f, visible, last_offset)
    total = sums.over_keys(weight[..., None] * f.value)
    torch.mul(total, _inverse(sums.over_keys(weight[..., None])), out=out)


def backward(
    f: Factors,
    visible: Visible,
    last_offset: int,
    weight: Tensor,
    out: Tensor,
    grad_out: Tensor,
    grad: Factors,
) -> None:
    """Add the gradients to `grad`; `out` and `grad_out` are (M, N, T, d)."""
    sums = _sums(f, visible, last_offset)
    slope = grad_out * _inverse(sums.over_keys(weight[..., None]))
    of_weighted = sums.over_queries(slope)
    grad.value += weight[..., None] * of_weighted
    if f.score is f.table is None:
        return
    lost = (slope * out).sum(dim=-1, keepdim=True)  # what the quotient's denominator takes
    if grad.score is not None:
        of_weight = (f.value * of_weighted).sum(dim=-1) - sums.over_queries(lost)[..., 0]
        grad.score += weight * of_weight
    if isinstance(sums, _ByPosition) and grad.table is not None:
        grad.table += sums.to_table(slope, weight[..., None] * f.value, lost, weight[..., None])


def flops(shape: tuple[int, ...], by_position: bool, weights: tuple[int, int]) -> int:
    """FLOPs of `forward`. `shape` is that of the values, `weights` their heads and sentences."""
    heads, sentences, keys, features = shape
    if by_position:
        return 2 * heads * keys * keys * sentences * (features + 1)
    chunk = min(keys, PREFIX_CHUNK)
    return 2 * -(-keys // chunk) * chunk**2 * (heads * sentences * features + math.prod(weights))


def _inverse(mass: Tensor) -> Tensor:
    """1 / mass, 0 where a query sees nothing."""
    return mass.reciprocal().masked_fill_(mass == 0, 0.0)


def _sums(f: Factors, visible: Visible, last_offset: int) -> _SoFar | _ByPosition:
    return _SoFar() if f.table is None else _ByPosition(f.table, visible, last_offset)


class _SoFar:
    """Sums over the keys up to each query, under a causal mask; of (M, N, S, features)."""

    def over_keys(self, x: Tensor) -> Tensor:
        """To (M, N, T, features)."""
        rows = _prefix_sums(x.permute(1, 2, 0, 3).flatten(2))
        return rows.unflatten(2, (x.shape[0], -1)).permute(2, 0, 1, 3)

    def over_queries(self, x: Tensor) -> Tensor:
        """Its transpose, from queries to keys."""
        return self.over_keys(x.flip(2)).flip(2)


class _ByPosition:
    """Sums over keys by weights of the offset, (M, T, S), which all sentences share."""

    def __init__(self, table: Tensor, visible: Visible, last_offset: int) -> None:
        self.offsets = Offsets(last_offset - table.shape[1], last_offset)
        self.every = visible.every()
        rows = by_offset(table[..., None], self.offsets, self.every)[..., 0]
        energy = diagonals(rows, visible.keys)
        queries, keys = slice(0, visible.queries), slice(0, visible.keys)
        far = visible.unreachable(queries, keys, table.device)
        if far is not None:
            energy = energy.masked_fill(far, -math.inf)
        self.weights = energy.softmax(dim=-1)

    def over_keys(self, x: Tensor) -> Tensor:
        """From (M or 1, N, S, features) to (M, N, T, features)."""
        return _columns_back(self.weights @ _columns(x), x)

    def over_queries(self, x: Tensor) -> Tensor:
        """Its transpose, from queries to keys."""
        return _columns_back(self.weights.transpose(1, 2) @ _columns(x), x)

    def to_table(self, slope: Tensor, weighted: Tensor, lost: Tensor, weight: Tensor) -> Tensor:
        """Gradient of the table, (M, offsets), from those of the two sums over keys."""
        of_weights = _columns(slope) @ _columns(weighted).transpose(1, 2)
        of_weights -= _columns(lost) @ _columns(weight).transpose(1, 2)
        energy = torch._softmax_backward_data(of_weights, self.weights, -1, of_weights.dtype)
        rows = energy.new_zeros(*energy.shape[:2], self.every.number)
        diagonal(rows).copy_(energy)
        return by_offset(rows.sum(dim=1)[..., None], self.every, self.offsets)[..., 0]


def _columns(x: Tensor) -> Tensor:
    """(M, N, S, features) to (M, S, N * features)."""
    return x.transpose(1, 2).flatten(2)


def _columns_back(columns: Tensor, like: Tensor) -> Tensor:
    return columns.unflatten(2, (-1, like.shape[3])).transpose(1, 2)


def _prefix_sums(x: Tensor) -> Tensor:
    """Sums over all positions up to each, (N, S, C) to (N, S, C)."""
    length = x.shape[1]
    if length <= PREFIX_CHUNK:
        return x.new_ones(length, length).tril() @ x
    x = F.pad(x, (0, 0, 0, -length % PREFIX_CHUNK)).unflatten(1, (-1, PREFIX_CHUNK))
    within = x.new_ones(PREFIX_CHUNK, PREFIX_CHUNK).tril() @ x
    before = F.pad(within[:, :-1, -1:].cumsum(dim=1), (0, 0, 0, 0, 1, 0))
    return (within + before).flatten(1, 2)[:, :length]
