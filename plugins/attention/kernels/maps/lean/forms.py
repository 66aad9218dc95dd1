"""The forms for a GPU: one operator that attends, or sums that need none.

====  ============================================================================
0000  the mean of the keys, projected
0010  the keys pooled by one softmax a head, then projected
0001  the softmax of a sum over rows and columns is a product: Ay V Ax^T
1000  fused attention of torch
1010  the same, with u added to the queries
else  :func:`tabled`: energies of position as one table for each axis
====  ============================================================================

Whatever has few products is calculated in float32 even under autocast: conversions would be more
kernels than the products.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.attend import Window, attend
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.lean.ends import folded_key, project, residual, tokens
from plugins.attention.kernels.maps.lean.position import of_position, of_queries
from plugins.attention.kernels.maps.tiles import in_single

__all__ = ["fused", "mean", "pooled", "separable", "tabled"]


def mean(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """0000."""
    x, keys = tokens(x, _single(x), block.kv_stride)
    average = keys.mean(dim=(1, 2), keepdim=True)
    value = F.linear(average, in_single(block.value_conv.weight).flatten(1))
    return residual(block, x, value, kind)


class _Pooled(torch.autograd.Function):
    """Softmax of keys . folded over all keys, and the projected mean of the keys by it."""

    @staticmethod
    def forward(ctx: Any, keys: Tensor, folded: Tensor, weight: Tensor) -> Tensor:
        energy = (keys.flatten(0, 1) @ folded.mT).view(*keys.shape[:2], -1)
        weights = energy.softmax(dim=1)  # (N, K, M)
        pooled = torch.bmm(weights.mT, keys)  # (N, M, C)
        ctx.save_for_backward(keys, folded, weight, weights, pooled)
        return torch.bmm(weight, pooled.permute(1, 2, 0)).flatten(0, 1).mT  # (N, M * d)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        keys, folded, weight, weights, pooled = ctx.saved_tensors
        with exactly(grad):
            grad = grad.mT.unflatten(0, weight.shape[:2])  # (M, d, N)
            of_weight = torch.bmm(grad, pooled.transpose(0, 1))
            of_pooled = torch.bmm(grad.mT, weight).transpose(0, 1)  # (N, M, C)
            of_weights = torch.bmm(keys, of_pooled.mT)
            of_energy = torch._softmax_backward_data(of_weights, weights, 1, weights.dtype)
            of_keys = torch.bmm(weights, of_pooled)
            flat = of_energy.flatten(0, 1)
            of_keys.flatten(0, 1).addmm_(flat, folded)
            return of_keys, flat.mT @ keys.flatten(0, 1), of_weight


def pooled(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """0010."""
    x, keys = tokens(x, _single(x), block.kv_stride)
    weight = in_single(block.value_conv.weight).view(block.heads, block.head_dim, -1)
    value = _Pooled.apply(keys.flatten(1, 2), folded_key(block), weight)
    return residual(block, x, value[:, None, None], kind)


def separable(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """0001."""
    x, _, (value,) = project(block, x, _single(x), [], [in_single(block.value_conv.weight)])
    images, heads, key_rows, key_columns, features = value.shape
    rows, columns = block.grid(x)
    along_y, along_x = of_position(block, x, (rows, columns), (key_rows, key_columns))
    # (M, Wk, N * Hk * d), then (M, Hk, W * N * d)
    wide = value.permute(1, 3, 0, 2, 4).flatten(2)
    wide = (along_x.softmax(dim=-1) @ wide).view(heads, columns, images, key_rows, features)
    wide = along_y.softmax(dim=-1) @ wide.permute(0, 3, 2, 1, 4).flatten(2)
    attended = wide.view(heads, rows, images, columns, features).permute(2, 1, 3, 0, 4)
    return residual(block, x, attended.flatten(3), kind)


def fused(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """1000, 1010."""
    of_keys = [block.key_conv.weight, block.value_conv.weight]
    x, _, (query, key, value) = project(block, x, kind, [block.query_conv.weight], of_keys)
    if block.e3:
        query = query + block.appr_bias.to(kind).view(block.heads, 1, 1, -1)
    query, key, value = (tensor.flatten(2, 3) for tensor in (query, key, value))
    attended = F.scaled_dot_product_attention(query, key, value, scale=1.0)
    attended = attended.transpose(1, 2).flatten(2).unflatten(1, block.grid(x))
    return residual(block, x, attended, kind)


def tabled(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """Any terms, with or without a range."""
    of_query = [block.query_conv.weight] if block.e1 or block.e2 else []
    of_keys = [block.key_conv.weight] if block.e1 else []
    x, keys, projected = project(block, x, kind, of_query, [*of_keys, block.value_conv.weight])
    query = projected[0] if of_query else None
    key = projected[-2] if of_keys else None
    grid, key_grid = block.grid(x), keys.shape[1:3]
    outer = inner = bias = score = window = None
    if query is not None and block.e2:
        query, outer, inner = of_queries(block, query, key_grid)
    elif block.e4:
        rows, columns = of_position(block, x, grid, key_grid)
        outer = rows[None, :, :, None].expand(len(x), -1, -1, grid[1], -1)
        inner = columns[None, :, None].expand(len(x), -1, grid[0], -1, -1)
    elif key is None:
        outer = x.new_zeros((), dtype=_single(x)).expand(len(x), block.heads, *grid, key_grid[0])
    if block.e3 and key is not None:
        bias = block.appr_bias.view(block.heads, -1)
    elif block.e3:
        score = F.linear(in_single(keys), folded_key(block)).permute(0, 3, 1, 2)
    if block.spatial_range is not None:
        farthest = block.spatial_range
        window = Window(block.q_stride, block.kv_stride, 0, -farthest, farthest)
    attended = attend(
        query if block.e1 else None, key, projected[-1], outer, inner, score,
        bias=bias, window=window,
    )  # fmt: skip
    return residual(block, x, attended.permute(0, 2, 3, 1, 4).flatten(3), kind)


def _single(x: Tensor) -> torch.dtype:
    return torch.promote_types(x.dtype, torch.float32)
