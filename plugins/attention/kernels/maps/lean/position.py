"""Tables of the energies of position, one for each axis, in few kernels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from plugins.attention.core.energy import exactly
from plugins.attention.core.position import relative_sinusoid
from plugins.attention.kernels.constants import constant
from plugins.attention.kernels.maps.axis import WAVELENGTH
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.lean.ends import in_one
from plugins.attention.kernels.maps.tiles import in_single

__all__ = ["encoding", "of_position", "of_queries"]


def encoding(
    queries: int, keys: int, block: Block2d, kind: torch.dtype, device: torch.device
) -> Tensor:
    """Encode every offset along one axis, each as often as it occurs; a constant.

    Returns
    -------
    Tensor
        (queries * keys, position_dim / 2), divided by sqrt(2) as mmcv's module does. A gather from
        distinct offsets would be smaller; its gradient adds up in no fixed order.
    """
    return _encode(
        queries, keys, block.q_stride, block.kv_stride, block.position_magnitude,
        block.position_dim, kind, device,
    )  # fmt: skip


@constant
def _encode(
    queries: int,
    keys: int,
    q_stride: int,
    kv_stride: int,
    magnitude: float,
    dim: int,
    kind: torch.dtype,
    device: torch.device,
) -> Tensor:
    query = torch.arange(queries, device=device) * q_stride
    offset = query[:, None] - torch.arange(keys, device=device) * kv_stride
    encoded = relative_sinusoid(offset.flatten() * magnitude, dim // 2, WAVELENGTH)
    return (encoded / math.sqrt(2)).to(kind)


class _OfQueries(torch.autograd.Function):
    """See :func:`of_queries`. The query goes through, so that its gradients are added once."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        bias: Tensor | None,
        weight_y: Tensor,
        encoding_y: Tensor,
        weight_x: Tensor,
        encoding_x: Tensor,
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        heads, features = query.shape[1], query.shape[4]
        saved, tables = [], []
        for axis, weight, encoded in ((2, weight_y, encoding_y), (3, weight_x, encoding_x)):
            lines = query.movedim((1, axis), (0, 1))  # (M, H, N, W, d), and (M, W, N, H, d)
            kind, layout = encoded.dtype, torch.contiguous_format
            if bias is None:
                content = lines.to(kind, copy=True, memory_format=layout)
            else:
                content = in_one(torch.add, lines, bias.view(heads, 1, 1, 1, features), kind)
            content = content.flatten(0, 1).flatten(1, 2)
            by_head = weight.to(encoded.dtype).view(heads, features, -1)
            projected = torch.bmm(encoded.expand(heads, -1, -1), by_head.mT)
            projected = projected.view(len(content), -1, features)  # (M * H, Hk, d)
            energy = torch.bmm(content, projected.mT).view(*lines.shape[:4], -1)
            tables.append(energy.movedim((0, 1), (1, axis)))
            saved += [content, projected, encoded]
        ctx.save_for_backward(*saved)
        ctx.kinds = query.dtype, None if bias is None else bias.dtype
        return query.view_as(query), *tables

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, of_query: Tensor | None, *of_tables: Tensor
    ) -> tuple[Tensor | None, ...]:
        saved, found, of_contents = ctx.saved_tensors, [], []
        heads = of_tables[0].shape[1]
        for axis, of_table, at in zip((2, 3), of_tables, (0, 3), strict=True):
            content, projected, encoded = saved[at : at + 3]
            lines = of_table.movedim((1, axis), (0, 1))
            of_energy = lines.reshape(len(content), -1, lines.shape[4])
            with exactly(lines):
                of_content = torch.bmm(of_energy, projected).view(*lines.shape[:4], -1)
                of_projected = torch.bmm(of_energy.mT, content).view(heads, len(encoded), -1)
                of_weight = torch.bmm(of_projected.mT, encoded.expand(heads, -1, -1))
            of_contents.append(of_content.movedim((0, 1), (1, axis)))
            found += [of_weight.flatten(0, 1), None]
        kind, of_bias_kind = ctx.kinds
        # Heads last, as the query lies.
        rows, columns = (part.permute(0, 2, 3, 1, 4) for part in of_contents)
        both = in_one(torch.add, rows, columns, rows.dtype)
        of_bias = None if of_bias_kind is None else both.sum(dim=(0, 1, 2)).to(of_bias_kind)
        if of_query is None:
            both = both.to(kind)
        else:
            both = in_one(torch.add, both, of_query.permute(0, 2, 3, 1, 4), kind)
        return both.permute(0, 3, 1, 2, 4), of_bias, *found


def of_queries(
    block: Block2d, query: Tensor, key_grid: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor]:
    """E2, or E2 + E4, of every query for the key rows and for the key columns.

    Parameters
    ----------
    query: Tensor
        (N, M, H, W, d).
    key_grid: (int, int)
        Hk and Wk.

    Returns
    -------
    query: Tensor
        To be used in its place.
    outer, inner: Tensor
        (N, M, H, W, Hk) and (N, M, H, W, Wk), of float32 at least.
    """
    bias = block.geom_bias.view(block.heads, -1) if block.e4 else None
    made: tuple[Tensor, Tensor, Tensor] = _OfQueries.apply(
        query, bias, *_constants(block, query, query.shape[2:4], key_grid)
    )
    return made


def of_position(
    block: Block2d, like: Tensor, grid: Sequence[int], key_grid: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """E4 alone, the same for all queries of a row or a column: (M, H, Hk) and (M, W, Wk).

    v . (R r) is calculated as (v R) . r: a product less for each offset.
    """
    constants = _constants(block, like, grid, key_grid)
    bias = in_single(block.geom_bias).view(block.heads, 1, -1)
    tables = []
    for queries, weight, encoded in zip(grid, constants[::2], constants[1::2], strict=True):
        by_head = weight.to(encoded.dtype).unflatten(0, (block.heads, -1))
        folded = torch.bmm(bias, by_head).squeeze(1)
        tables.append((folded @ encoded.mT).unflatten(1, (queries, -1)))
    return tables[0], tables[1]


def _constants(
    block: Block2d, like: Tensor, grid: Sequence[int], key_grid: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Weight and encoding of the rows, and of the columns."""
    kind = torch.promote_types(like.dtype, torch.float32)
    of_rows = encoding(grid[0], key_grid[0], block, kind, like.device)
    of_columns = encoding(grid[1], key_grid[1], block, kind, like.device)
    return block.appr_geom_fc_y.weight, of_rows, block.appr_geom_fc_x.weight, of_columns
