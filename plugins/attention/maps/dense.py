"""The plain dense form of 2-D attention: the standard for the cheap forms.

It makes the energy of every pair of query and key, and multiplies their softmax with the values.
The term set `0010` alone has one query, as in mmcv's module. The cost of a term set is stated in
these products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from plugins.attention.core.energy import exactly, with_bias
from plugins.attention.core.position import relative_sinusoid
from plugins.attention.kernels.maps.axis import WAVELENGTH
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.tiles import in_single

__all__ = ["dense", "weights_at"]


def dense(block: Block2d, x: Tensor) -> Tensor:
    """Attend; (N, H, W, M * d), and (N, 1, 1, M * d) for `0010` without a range."""
    queries, keys = block.subsample(x)
    grid, key_grid = queries.shape[-2:], keys.shape[-2:]
    row = torch.arange(grid[0], device=x.device) * block.q_stride
    column = torch.arange(grid[1], device=x.device) * block.q_stride
    if block.terms == "0010" and block.spatial_range is None:
        grid = torch.Size((1, 1))
    value = _heads(block, block.value_conv(keys))
    query = _heads(block, block.query_conv(queries)) if block.e1 or block.e2 else None
    key = _heads(block, block.key_conv(keys)) if block.e1 or block.e3 else None
    with exactly(x):
        energy = in_single(x.new_zeros(())).expand(len(x), block.heads, *grid, *key_grid)
        if key is not None:
            content = _content(block, query if block.e1 else None, "appr_bias")
            product = (content @ in_single(key).mT).unflatten(3, key_grid)
            energy = energy + product.unflatten(2, grid if block.e1 else (1, 1))
        if block.e2 or block.e4:
            along_y = _encode(block, block.appr_geom_fc_y, row, key_grid[0])
            along_x = _encode(block, block.appr_geom_fc_x, column, key_grid[1])
            content = _content(block, query if block.e2 else None, "geom_bias")
            content = content.unflatten(2, grid if block.e2 else (1, 1))
            # Position alone is multiplied once, not once a query.
            rows = "nmhwd,mhkd->nmhwk" if block.e2 else "nmijd,mhkd->nmhjk"
            columns = "nmhwd,mwkd->nmhwk" if block.e2 else "nmijd,mwkd->nmiwk"
            energy = energy + torch.einsum(rows, content, along_y).unsqueeze(5)
            energy = energy + torch.einsum(columns, content, along_x).unsqueeze(4)
        if block.spatial_range is not None:
            near_y = _near(block, row, key_grid[0])[:, None, :, None]
            near_x = _near(block, column, key_grid[1])[None, :, None, :]
            energy = energy.masked_fill(~(near_y & near_x), -math.inf)
        weights = energy.flatten(4).flatten(2, 3).softmax(dim=-1)
    attended = weights.to(value.dtype) @ value
    return attended.transpose(1, 2).flatten(2).unflatten(1, grid)


def weights_at(
    block: Block2d, x: Tensor, positions: Sequence[tuple[int, int]]
) -> dict[str, Tensor]:
    """Return the weights and energies of the queries at some input positions (row, column).

    With a query stride, a position means the nearest query above and to the left of it.

    Returns
    -------
    dict of str to Tensor
        ``weights``, (N, M, queries, Hk, Wk), 1 in sum over the keys; and for each term that is on,
        ``E1`` to ``E4``, its energies in the same shape, also of keys that a range leaves out.
    """
    queries, keys = block.subsample(x)
    key_grid = keys.shape[-2:]
    for position in positions:
        if not all(0 <= at < size for at, size in zip(position, x.shape[-2:], strict=True)):
            raise ValueError(f"position {position} is outside of the map of {tuple(x.shape[-2:])}")
    index = torch.tensor(positions, device=x.device).reshape(-1, 2) // block.q_stride
    row, column = index.unbind(1)
    shape = (len(x), block.heads, len(index), *key_grid)
    if block.e1 or block.e2:
        # (N, C, L, 1): a map of L rows
        query = in_single(_heads(block, block.query_conv(queries[:, :, row, column, None])))
    if block.e1 or block.e3:
        key = in_single(_heads(block, block.key_conv(keys)))
    row, column = row * block.q_stride, column * block.q_stride
    energies = {}
    with exactly(x):
        if block.e1:
            energies["E1"] = (query @ key.mT).unflatten(3, key_grid)
        if block.e2 or block.e4:
            along_y = _encode(block, block.appr_geom_fc_y, row, key_grid[0])
            along_x = _encode(block, block.appr_geom_fc_x, column, key_grid[1])
        if block.e2:
            energies["E2"] = _position(query, along_y, along_x)
        if block.e3:
            content = _content(block, None, "appr_bias")
            energies["E3"] = (content @ key.mT).unflatten(3, key_grid).expand(shape)
        if block.e4:
            content = _content(block, None, "geom_bias").expand(-1, -1, len(index), -1)
            energies["E4"] = _position(content, along_y, along_x).expand(shape)
        energy = sum(energies.values(), start=in_single(x.new_zeros(())).expand(shape))
        if block.spatial_range is not None:
            near_y = _near(block, row, key_grid[0])[:, :, None]
            near_x = _near(block, column, key_grid[1])[:, None, :]
            energy = energy.masked_fill(~(near_y & near_x), -math.inf)
        weights = energy.flatten(3).softmax(dim=-1).unflatten(3, key_grid)
    return {"weights": weights, **energies}


def _position(content: Tensor, along_y: Tensor, along_x: Tensor) -> Tensor:
    """(N, M, L, d) by (M, L, k, d) of both axes: (N, M, L, k_y, k_x)."""
    rows = torch.einsum("nmld,mlkd->nmlk", content, along_y)
    return rows.unsqueeze(4) + torch.einsum("nmld,mlkd->nmlk", content, along_x).unsqueeze(3)


def _heads(block: Block2d, projected: Tensor) -> Tensor:
    """(N, M * d, H, W) to (N, M, H * W, d)."""
    return projected.flatten(2).unflatten(1, (block.heads, block.head_dim)).mT


def _content(block: Block2d, query: Tensor | None, name: str) -> Tensor:
    """Query, bias, or their sum where its term is on, float32: q.k + u.k is (q + u).k."""
    bias = getattr(block, name, None)
    if bias is not None:
        bias = in_single(bias).view(1, block.heads, 1, block.head_dim)
    return with_bias(None if query is None else in_single(query), bias)


def _difference(block: Block2d, query: Tensor, keys: int) -> Tensor:
    """(queries, keys), query minus key along one axis, in input positions."""
    return query[:, None] - torch.arange(keys, device=query.device) * block.kv_stride


def _encode(block: Block2d, projection: nn.Linear, query: Tensor, keys: int) -> Tensor:
    """Projected encoding of all offsets along one axis: (M, queries, keys, d)."""
    offset = _difference(block, query, keys) * block.position_magnitude
    weight = in_single(projection.weight)
    encoding = relative_sinusoid(offset, weight.shape[1], WAVELENGTH).to(weight.dtype)
    projected = (encoding @ weight.mT) / math.sqrt(2)
    return projected.unflatten(-1, (block.heads, block.head_dim)).permute(2, 0, 1, 3)


def _near(block: Block2d, query: Tensor, keys: int) -> Tensor:
    """(queries, keys), whether a key lies within the range along one axis."""
    assert block.spatial_range is not None
    return _difference(block, query, keys).abs() <= block.spatial_range
