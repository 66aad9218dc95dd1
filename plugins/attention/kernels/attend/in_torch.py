"""Softmax attention in blocks of queries, recalculated in the backward pass; any device.

Neither pass keeps energies or weights for more than one block. On a CPU a block stays within the
cache, where the softmax costs less than the products. The energies of the tables go into the block
before the product is added in place; a folded product would multiply over more features for the
same sum.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.attend.inputs import Inputs
from plugins.attention.kernels.attend.layout import empty_gradient, empty_heads_last

__all__ = ["backward", "blocks", "forward"]

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
    rows = max(1, (_CACHED if query.device.type == "cpu" else _ON_DEVICE) // max(row, 1))
    together = max(1, rows // max(queries, 1))
    # Equal parts: a short last one would multiply small matrices.
    rows = -(-queries // -(-queries // rows)) if queries else 1
    for problem in range(0, problems, together):
        for first in range(0, queries, rows):
            yield (
                slice(problem, min(problem + together, problems)),
                slice(first, min(first + rows, queries)),
            )


@dataclass
class _Problem:
    """The tensors of one call, contiguous, of float32 at least, batch and heads in one dimension.

    ``outer`` and ``inner`` have at least one query for each that there is, or are None.
    """

    query: Tensor | None
    key: Tensor | None
    value: Tensor
    outer: Tensor | None
    inner: Tensor | None
    score: Tensor | None
    scale: float
    keys: tuple[int, int]
    may_be_blind: bool

    @classmethod
    def of(cls, inputs: Inputs) -> _Problem:
        query, key, value, outer, inner, score, bias, scale, window = inputs
        batch, heads, *keys, _ = value.shape
        grid = inputs.grid
        if query is not None and bias is not None:
            query = query + bias.to(query.dtype)[:, None, None]
        if window is not None:
            far = window.hidden(grid[0], keys[0], 0, value.device)
            outer = _hide(outer, far[:, None], (batch, heads, *grid, keys[0]), value)
            far = window.hidden(grid[1], keys[1], window.first, value.device)
            inner = _hide(inner, far, (batch, heads, *grid, keys[1]), value)
        return cls(
            _flat(query), _flat(key), _wide(value), _flat(outer), _flat(inner), _flat(score),
            scale, (keys[0], keys[1]), window is not None or score is not None,
        )  # fmt: skip

    @property
    def queries(self) -> Tensor:
        """One of the tensors with a row for each query."""
        found = next(t for t in (self.inner, self.outer, self.query) if t is not None)
        return found

    def scratch(self) -> tuple[Tensor, Tensor]:
        """Memory of one block's energies and weights, used again for every block."""
        problem, queries = next(blocks(self.queries, self.value.shape[1]), (slice(0), slice(0)))
        size = (problem.stop * queries.stop, self.value.shape[1])
        return self.value.new_empty(size), self.value.new_empty(size)

    def weights(
        self, part: tuple[slice, slice], scratch: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Weights of a block, (problems, queries, keys), and memory of the same shape."""
        problem, rows = self.queries[part].shape[:2]
        energy, softmax = (memory[: problem * rows].view(problem, rows, -1) for memory in scratch)
        split = energy.unflatten(2, self.keys)
        outer = None if self.outer is None else self.outer[part].unsqueeze(3)
        inner = None if self.inner is None else self.inner[part].unsqueeze(2)
        if outer is not None and inner is not None:
            torch.add(outer, inner, out=split)
        elif outer is not None or inner is not None:
            split.copy_(inner if outer is None else outer)
        if self.score is not None:
            score = self.score[part[0]].unsqueeze(1)
            if outer is None and inner is None:
                energy.copy_(score)
            else:
                energy.add_(score)
        if self.query is not None and self.key is not None:
            bare = outer is None and inner is None and self.score is None
            torch.baddbmm(
                energy, self.query[part], self.key[part[0]].mT,
                beta=0 if bare else 1, alpha=self.scale, out=energy,
            )  # fmt: skip
        torch.softmax(energy, dim=-1, out=softmax)
        if self.may_be_blind:
            blind = energy.amax(dim=-1, keepdim=True) == -math.inf
            softmax.masked_fill_(blind, 0.0)
        return softmax, energy


def _flat(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else _wide(tensor)


def _wide(tensor: Tensor) -> Tensor:
    """Put batch and heads together, and the two axes of queries or keys after them."""
    tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    return tensor.flatten(2, 3).flatten(0, 1).contiguous()


def _hide(table: Tensor | None, far: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return the table, -inf where keys are too far."""
    if table is None:
        table = like.new_zeros((), dtype=torch.promote_types(like.dtype, torch.float32))
        table = table.expand(shape)
    return table.masked_fill(far, -math.inf)


def forward(inputs: Inputs) -> Tensor:
    """Attend; see :func:`plugins.attention.kernels.attend.operator.attend`."""
    value = inputs.value
    with exactly(value):
        problem = _Problem.of(inputs)
        out = problem.value.new_empty(*problem.queries.shape[:2], value.shape[-1])
        scratch = problem.scratch()
        for part in blocks(problem.queries, problem.value.shape[1]):
            weights, _ = problem.weights(part, scratch)
            out[part] = torch.bmm(weights, problem.value[part[0]])
        batch, heads = value.shape[:2]
        result = empty_heads_last((batch, heads, *inputs.grid, value.shape[-1]), value)
        return result.copy_(out.view(result.shape))


def backward(grad: Tensor, inputs: Inputs, wants_score: bool) -> tuple[Tensor | None, ...]:
    """Return the gradients of query, key, value, outer, inner and score, in their shapes.

    None stands for a tensor that is not there, and for the score's unless `wants_score`.
    """
    with exactly(grad):
        problem, slope = _Problem.of(inputs), _wide(grad)
        exact, rows = problem.value.new_empty, problem.queries.shape[:2]
        of_query = None if problem.query is None else torch.empty_like(problem.query)
        of_key = None if problem.key is None else torch.zeros_like(problem.key)
        of_value = torch.zeros_like(problem.value)
        of_outer = None if inputs.outer is None else exact(*rows, problem.keys[0])
        of_inner = None if inputs.inner is None else exact(*rows, problem.keys[1])
        of_score = None
        if wants_score and problem.score is not None:
            of_score = torch.zeros_like(problem.score)
        scratch = problem.scratch()
        for part in blocks(problem.queries, problem.value.shape[1]):
            at = part[0]
            weights, energy = problem.weights(part, scratch)
            torch.baddbmm(of_value[at], weights.mT, slope[part], out=of_value[at])
            torch.bmm(slope[part], problem.value[at].mT, out=energy)
            # Not by way of the output, as flash attention does: where one weight is nearly 1,
            # this sum cancels its gradient exactly.
            torch._softmax_backward_data(energy, weights, -1, energy.dtype, grad_input=energy)
            split = energy.unflatten(2, problem.keys)
            if of_outer is not None:
                of_outer[part] = split.sum(dim=3)
            if of_inner is not None:
                of_inner[part] = split.sum(dim=2)
            if of_score is not None:
                of_score[at] += energy.sum(dim=1)
            if of_query is not None and of_key is not None:
                assert problem.query is not None
                assert problem.key is not None
                if problem.scale != 1:
                    energy.mul_(problem.scale)
                of_query[part] = torch.bmm(energy, problem.key[at])
                torch.baddbmm(of_key[at], energy.mT, problem.query[part], out=of_key[at])
    projected = zip((of_query, of_key, of_value), inputs[:3], strict=True)
    tables = zip((of_outer, of_inner, of_score), inputs[3:6], strict=True)
    return (
        *(_given(gradient, of, _heads_last) for gradient, of in projected),
        *(_given(gradient, of, empty_gradient) for gradient, of in tables),
    )


def _heads_last(of: Tensor) -> Tensor:
    return empty_heads_last(of.shape, of)


def _given(
    gradient: Tensor | None, of: Tensor | None, empty: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """Return a gradient in the shape, type and layout that are expected."""
    if gradient is None or of is None:
        return None
    return empty(of).copy_(gradient.view(of.shape))
