"""Launches the fused kernels: which tensors they serve, block sizes, strides."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plugins.attention.kernels.attend import in_triton
from plugins.attention.kernels.attend.layout import empty_gradient, empty_heads_last
from plugins.attention.kernels.attend.window import Window

__all__ = ["Blocks", "backward", "blocks_of", "forward", "serves"]

_KINDS = (torch.float32, torch.bfloat16, torch.float16)
_CAPABLE = (8, 0)
"""Ampere: the first GPUs with bfloat16."""


@dataclass(frozen=True)
class Blocks:
    """Queries and keys of a block, and the warps and stages that work at it."""

    queries: int
    keys: int
    warps: int
    stages: int = 2


_BLOCKS = (
    # single, widest head, blocks
    (True, 64, Blocks(32, 32, 8)),
    (False, 64, Blocks(64, 32, 4)),
    (False, 128, Blocks(64, 32, 8)),
    (False, 256, Blocks(32, 32, 8)),
)
"""The largest blocks that, compiled for compute capability 9.0, spill a few registers at most to
memory. A table, since tuning anew for each size would stall detection, whose maps change from batch
to batch. Wider heads than these are left to :mod:`in_torch`."""


def blocks_of(kind: torch.dtype, features: int, queries: int, keys: int) -> Blocks | None:
    """Choose blocks for heads of so many features, None if they are too wide.

    `queries` and `keys`, those of the inner axis, make blocks smaller that would hold few.
    """
    for single, widest, blocks in _BLOCKS:
        if single == (kind == torch.float32) and features <= widest:
            return Blocks(_power(queries, blocks.queries), _power(keys, blocks.keys), blocks.warps)
    return None


def _power(size: int, most: int = 256) -> int:
    """The power of two that holds `size`, from 16, which products need, to `most`."""
    return max(16, min(most, 1 << max(size - 1, 0).bit_length()))


@functools.cache
def _capable(device: torch.device) -> bool:
    return torch.cuda.get_device_capability(device) >= _CAPABLE


def serves(value: Tensor, query: Tensor | None) -> bool:
    """Whether the kernels can calculate with tensors of this type, width and device."""
    fits = blocks_of(value.dtype, _widest(value, query), 1, 1) is not None
    return fits and value.dtype in _KINDS and _capable(value.device)


def _widest(value: Tensor, query: Tensor | None) -> int:
    return max(value.shape[4], 0 if query is None else query.shape[4])


@dataclass(frozen=True)
class _Call:
    """The tensors and strides of one call, as the kernels take them."""

    tensors: tuple[Tensor | None, ...]  # query, key, value, outer, inner, score, bias
    grid: tuple[int, int]
    keys: tuple[int, int]  # outer, inner as the kernels see them
    swap: bool
    scale: float
    window: Window | None

    @classmethod
    def of(
        cls,
        query: Tensor | None,
        key: Tensor | None,
        value: Tensor,
        outer: Tensor | None,
        inner: Tensor | None,
        score: Tensor | None,
        bias: Tensor | None,
        scale: float,
        window: Window | None,
        grid: tuple[int, int],
    ) -> _Call:
        query, key, value = _packed(query), _packed(key), _packed(value)  # type: ignore[assignment]
        outer, inner = _unit(outer), _unit(inner)
        score = None if score is None else _score(score)
        keys = value.shape[2], value.shape[3]
        # The inner axis is the one that fills its blocks better.
        swap = keys[0] > 1 and _waste(keys[0]) < _waste(keys[1])
        if swap:
            keys, outer, inner = (keys[1], keys[0]), inner, outer
        tensors = (
            query,
            key,
            value,
            outer,
            inner,
            score,
            None if bias is None else bias.contiguous(),
        )
        return cls(tensors, grid, keys, swap, scale, window)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of queries, keys, values, of a step of keys on either axis, of tables, scores."""
        query, key, value, outer, inner, score, _ = self.tensors
        steps = (1, self.keys[0]) if self.swap else (self.keys[1], 1)
        return (
            *_place(query), *_place(key), *_place(value), *steps,
            *_table(outer), *_table(inner), *_scores(score),
        )  # fmt: skip

    @property
    def sizes(self) -> tuple[float, ...]:
        """Heads, queries, queries of the inner axis, keys of both, scale, window."""
        heads = self.tensors[2].shape[1]  # type: ignore[union-attr]
        window = Window() if self.window is None else self.window
        return (heads, self.grid[0] * self.grid[1], self.grid[1], *self.keys, self.scale, *window)

    def constants(self, blocks: Blocks) -> dict[str, Any]:
        """Arguments that a kernel is compiled for."""
        query, _, value, outer, inner, score, bias = self.tensors
        assert value is not None
        features = value.shape[4] if query is None else query.shape[4]
        exact = torch.get_float32_matmul_precision() == "highest" or value.dtype != torch.float32
        return {
            "D": features, "E": value.shape[4],
            "BD": _power(features), "BE": _power(value.shape[4]),
            "BM": blocks.queries, "BI": blocks.keys,
            "CONTENT": query is not None, "BIASED": bias is not None and query is not None,
            "HAS_OUTER": outer is not None, "HAS_INNER": inner is not None,
            "HAS_SCORE": score is not None, "WINDOW": self.window is not None, "SWAP": self.swap,
            "PRECISION": "ieee" if exact else "tf32",
        }  # fmt: skip

    @property
    def blocks(self) -> Blocks:
        """Return the block sizes."""
        query, _, value, *_ = self.tensors
        assert value is not None
        queries = self.grid[0] * self.grid[1]
        blocks = blocks_of(value.dtype, _widest(value, query), queries, self.keys[1])
        assert blocks is not None
        return blocks


def _packed(tensor: Tensor | None) -> Tensor | None:
    """Return (B, M, o, i, features) with heads side by side and positions one after the other."""
    if tensor is None:
        return None
    _, _, outer, inner, features = tensor.shape
    _, head, row, place, unit = tensor.stride()
    if unit == 1 and head == features and (outer == 1 or row == place * inner):
        return tensor
    return tensor.permute(0, 2, 3, 1, 4).contiguous().permute(0, 3, 1, 2, 4)


def _unit(table: Tensor | None) -> Tensor | None:
    """Return a table whose last dimension has no gaps."""
    if table is None or table.stride(4) == 1 or table.shape[4] == 1:
        return table
    return table.contiguous()


def _score(score: Tensor) -> Tensor:
    """Return (B, M, Ko, Ki) whose keys lie one after the other; batch and heads may be expanded."""
    _, _, outer, inner = score.shape
    _, _, row, place = score.stride()
    return score if outer == 1 or row == inner * place else score.contiguous()


def _waste(keys: int) -> float:
    """How many times as many keys the blocks of an axis hold."""
    block = _power(keys, 32)
    return -(-keys // block) * block / keys


def _place(tensor: Tensor | None) -> tuple[int, int]:
    """Strides of the batch and of a position."""
    return (0, 0) if tensor is None else (tensor.stride(0), tensor.stride(3))


def _scores(score: Tensor | None) -> tuple[int, int, int]:
    """Strides of batch, head and key."""
    if score is None:
        return (0, 0, 0)
    return (*score.stride()[:2], score.stride(3))  # type: ignore[return-value]


def _table(table: Tensor | None) -> tuple[int, int, int, int]:
    """Strides of batch, head and query on both axes."""
    return (0, 0, 0, 0) if table is None else table.stride()[:4]  # type: ignore[return-value]


def forward(
    query: Tensor | None,
    key: Tensor | None,
    value: Tensor,
    outer: Tensor | None,
    inner: Tensor | None,
    score: Tensor | None,
    bias: Tensor | None,
    scale: float,
    window: Window | None,
    grid: tuple[int, int],
) -> tuple[Tensor, Tensor]:
    """Return what is attended and, to the base 2, the logarithm of each query's sum."""
    call = _Call.of(query, key, value, outer, inner, score, bias, scale, window, grid)
    batch, heads, _, _, features = value.shape
    queries = grid[0] * grid[1]
    out = empty_heads_last((batch, heads, *grid, features), value)
    total = value.new_empty(batch * heads * queries, dtype=torch.float32)
    blocks = call.blocks
    programs = batch * heads * -(-queries // blocks.queries)
    if programs:
        in_triton.forward[(programs,)](
            *_given(call.tensors, value), out, total, *call.strides, *call.sizes,
            **call.constants(blocks),
            num_warps=blocks.warps, num_stages=blocks.stages,
        )  # fmt: skip
    return out, total


def backward(
    grad: Tensor,
    query: Tensor | None,
    key: Tensor | None,
    value: Tensor,
    outer: Tensor | None,
    inner: Tensor | None,
    score: Tensor | None,
    bias: Tensor | None,
    scale: float,
    window: Window | None,
    out: Tensor,
    total: Tensor,
    wants_score: bool,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of query, key, value, outer, inner and score."""
    grid = (grad.shape[2], grad.shape[3])
    call = _Call.of(query, key, value, outer, inner, score, bias, scale, window, grid)
    batch, heads, queries = value.shape[0], value.shape[1], grid[0] * grid[1]
    grad = _packed(grad)  # type: ignore[assignment]
    blocks = call.blocks
    shared = call.constants(blocks)
    shared |= {"num_warps": blocks.warps, "num_stages": blocks.stages}
    of_query = None if query is None else empty_heads_last(query.shape, query)
    of_key = None if key is None else empty_heads_last(key.shape, key)
    of_value = empty_heads_last(value.shape, value)
    cleared = window is not None  # keys beyond it are not visited
    packed_outer, packed_inner, packed_score = call.tensors[3:6]
    of_outer = None if packed_outer is None else empty_gradient(packed_outer, cleared)
    of_inner = None if packed_inner is None else empty_gradient(packed_inner, cleared)
    of_score = empty_gradient(packed_score) if packed_score is not None and wants_score else None
    delta = torch.empty_like(total)
    given = _given(call.tensors, value)
    programs = batch * heads * -(-queries // blocks.queries)
    if programs:
        in_triton.backward_queries[(programs,)](
            *given, out, total, grad, delta, *_given((of_query, of_outer, of_inner), value),
            *call.strides, *_place(grad),
            *_table(of_outer), *_table(of_inner), *call.sizes, **shared,
        )  # fmt: skip
    programs = batch * heads * call.keys[0] * -(-call.keys[1] // blocks.keys)
    if programs:
        in_triton.backward_keys[(programs,)](
            *given, total, grad, delta, *_given((of_key, of_value, of_score), value),
            *call.strides, *_place(grad), *_scores(of_score), *call.sizes, **shared,
            WANTS_SCORE=of_score is not None,
        )  # fmt: skip
    found = [of_outer, of_inner]
    if call.swap:
        found.reverse()
    pairs = zip((*found, of_score), (outer, inner, score), strict=True)
    return of_query, of_key, of_value, *(_as_declared(*pair) for pair in pairs)


def _as_declared(gradient: Tensor | None, of: Tensor | None) -> Tensor | None:
    """Return a gradient of a table that lies as the operator says, also if the table was packed."""
    if gradient is None or of is None or gradient.stride() == of.stride():
        return gradient
    declared = empty_gradient(of)
    return gradient if gradient.stride() == declared.stride() else declared.copy_(gradient)


def _given(tensors: tuple[Tensor | None, ...], value: Tensor) -> list[Tensor]:
    """Stand-ins for tensors that are not there: a kernel does not read them."""
    return [value if tensor is None else tensor for tensor in tensors]
