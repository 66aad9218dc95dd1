"""Launches the fused kernels: which tensors they serve, block sizes, strides."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plugins.attention.kernels.attend import in_triton
from plugins.attention.kernels.attend.inputs import Inputs
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


def serves(inputs: Inputs) -> bool:
    """Whether the kernels can calculate with tensors of this type, width and device."""
    value = inputs.value
    fits = blocks_of(value.dtype, inputs.widest, 1, 1) is not None
    return fits and value.dtype in _KINDS and _capable(value.device)


@dataclass(frozen=True)
class _Call:
    """The tensors and strides of one call, as the kernels take them.

    Their inner axis is the one that fills its blocks better; `swapped` says that it is the outer
    one of the operator. `keys` and the tables of `inputs` are as the kernels have them.
    """

    inputs: Inputs
    keys: tuple[int, int]
    swapped: bool

    @classmethod
    def of(cls, inputs: Inputs) -> _Call:
        query, key, value, outer, inner, score, bias, *_ = inputs
        outer, inner = _unit(outer), _unit(inner)
        keys = value.shape[2], value.shape[3]
        swapped = keys[0] > 1 and _waste(keys[0]) < _waste(keys[1])
        if swapped:
            keys, outer, inner = (keys[1], keys[0]), inner, outer
        packed = inputs._replace(
            query=None if query is None else _packed(query),
            key=None if key is None else _packed(key),
            value=_packed(value),
            outer=outer,
            inner=inner,
            score=None if score is None else _score(score),
            bias=None if bias is None else bias.contiguous(),
        )
        return cls(packed, keys, swapped)

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors; what is not there has a stand-in, which a kernel does not read."""
        return _or(self.inputs.value, self.inputs[:7])

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides of queries, keys, values, of a step of keys on either axis, of tables, scores."""
        query, key, value, outer, inner, score, *_ = self.inputs
        steps = (1, self.keys[0]) if self.swapped else (self.keys[1], 1)
        return (
            *_place(query), *_place(key), *_place(value), *steps,
            *_table(outer), *_table(inner), *_scores(score),
        )  # fmt: skip

    @property
    def queries(self) -> int:
        """How many there are of a head."""
        return self.inputs.grid[0] * self.inputs.grid[1]

    @property
    def sizes(self) -> tuple[float, ...]:
        """Heads, queries, queries of the inner axis, keys of both, scale, window."""
        heads, width = self.inputs.value.shape[1], self.inputs.grid[1]
        window = self.inputs.window or Window()
        return (heads, self.queries, width, *self.keys, self.inputs.scale, *window)

    @property
    def blocks(self) -> Blocks:
        """The block sizes."""
        kind = self.inputs.value.dtype
        blocks = blocks_of(kind, self.inputs.widest, self.queries, self.keys[1])
        assert blocks is not None
        return blocks

    @property
    def constants(self) -> dict[str, Any]:
        """Arguments that a kernel is compiled for."""
        query, _, value, outer, inner, score, bias, _, window = self.inputs
        features = value.shape[4] if query is None else query.shape[4]
        exact = torch.get_float32_matmul_precision() == "highest" or value.dtype != torch.float32
        blocks = self.blocks
        return {
            "D": features, "E": value.shape[4],
            "BD": _power(features), "BE": _power(value.shape[4]),
            "BM": blocks.queries, "BI": blocks.keys,
            "CONTENT": query is not None, "BIASED": bias is not None and query is not None,
            "HAS_OUTER": outer is not None, "HAS_INNER": inner is not None,
            "HAS_SCORE": score is not None, "WINDOW": window is not None, "SWAP": self.swapped,
            "PRECISION": "ieee" if exact else "tf32",
            "num_warps": blocks.warps, "num_stages": blocks.stages,
        }  # fmt: skip


def _packed(tensor: Tensor) -> Tensor:
    """Return (B, M, o, i, features) with heads side by side and positions one after the other."""
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


def forward(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """Return what is attended and, to the base 2, the logarithm of each query's sum."""
    call, value = _Call.of(inputs), inputs.value
    batch, heads, _, _, features = value.shape
    out = empty_heads_last((batch, heads, *inputs.grid, features), value)
    total = value.new_empty(batch * heads * call.queries, dtype=torch.float32)
    programs = batch * heads * -(-call.queries // call.blocks.queries)
    if programs:
        in_triton.forward[(programs,)](
            *call.tensors, out, total, *call.strides, *call.sizes, **call.constants
        )
    return out, total


def backward(
    grad: Tensor, inputs: Inputs, out: Tensor, total: Tensor, wants_score: bool
) -> tuple[Tensor | None, ...]:
    """Return the gradients of query, key, value, outer, inner and score."""
    call, grad = _Call.of(inputs), _packed(grad)
    query, key, value, *_ = inputs
    batch, heads = value.shape[:2]
    of_query = None if query is None else empty_heads_last(query.shape, query)
    of_key = None if key is None else empty_heads_last(key.shape, key)
    of_value = empty_heads_last(value.shape, value)
    outer, inner, score = call.inputs[3:6]
    cleared = inputs.window is not None  # keys beyond it are not visited
    of_outer = None if outer is None else empty_gradient(outer, cleared)
    of_inner = None if inner is None else empty_gradient(inner, cleared)
    of_score = empty_gradient(score) if score is not None and wants_score else None
    delta = torch.empty_like(total)
    blocks, constants = call.blocks, call.constants
    programs = batch * heads * -(-call.queries // blocks.queries)
    if programs:
        in_triton.backward_queries[(programs,)](
            *call.tensors, out, total, grad, delta, *_or(value, (of_query, of_outer, of_inner)),
            *call.strides, *_place(grad), *_table(of_outer), *_table(of_inner),
            *call.sizes, **constants,
        )  # fmt: skip
    programs = batch * heads * call.keys[0] * -(-call.keys[1] // blocks.keys)
    if programs:
        in_triton.backward_keys[(programs,)](
            *call.tensors, total, grad, delta, *_or(value, (of_key, of_value, of_score)),
            *call.strides, *_place(grad), *_scores(of_score), *call.sizes, **constants,
            WANTS_SCORE=of_score is not None,
        )  # fmt: skip
    if call.swapped:
        of_outer, of_inner = of_inner, of_outer
    pairs = zip((of_outer, of_inner, of_score), inputs[3:6], strict=True)
    return of_query, of_key, of_value, *(_as_declared(*pair) for pair in pairs)


def _as_declared(gradient: Tensor | None, of: Tensor | None) -> Tensor | None:
    """Return a gradient of a table that lies as the operator says, also if the table was packed."""
    if gradient is None or of is None or gradient.stride() == of.stride():
        return gradient
    declared = empty_gradient(of)
    return gradient if gradient.stride() == declared.stride() else declared.copy_(gradient)


def _or(other: Tensor, tensors: Iterable[Tensor | None]) -> list[Tensor]:
    """Put another tensor where there is none."""
    return [other if tensor is None else tensor for tensor in tensors]
