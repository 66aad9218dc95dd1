"""Forms that never make an energy for a pair of query and key.

====  ============================================================================
0000  the mean of the values
0010  one softmax over the keys, the same for all queries
0001  the softmax of a sum over rows and columns is a product: Ay V Ax^T
0011  columns first, then rows with the logarithm of what the columns summed up to
====  ============================================================================

With a range, 0000 and 0010 vary with the query. They are then 0001 and 0011 with zero energies of
position.
"""

from __future__ import annotations

from torch import Tensor

from plugins.attention.kernels.maps.tiles import Tiles, in_single, over_tiles

__all__ = ["mean", "nested", "pooled", "separable"]


@over_tiles
def mean(tiles: Tiles) -> Tensor:
    """0000: the projected mean of the keys, which is the mean of the values; (N, 1, 1, M * d)."""
    average = in_single(tiles.keys).mean(dim=(2, 3), keepdim=True)
    return tiles.project(average, tiles.block.value_conv)


@over_tiles
def pooled(tiles: Tiles) -> Tensor:
    """0010: pool the keys once a head, then project what was pooled; (N, 1, 1, M * d)."""
    weights = tiles.key_energy.flatten(2).softmax(dim=-1)  # (N, M, Hk * Wk)
    pooled = weights @ in_single(tiles.keys).flatten(2).mT  # (N, M, C)
    weight = tiles.block.value_conv.weight.to(tiles.kind).flatten(1)
    weight = weight.unflatten(0, (tiles.block.heads, tiles.block.head_dim))  # (M, d, C)
    value = pooled.to(tiles.kind).transpose(0, 1) @ weight.mT  # (M, N, d)
    return value.transpose(0, 1).flatten(1)[:, None, None]


@over_tiles
def separable(tiles: Tiles) -> Tensor:
    """0001: two products, each over one axis; (N, H, W, M * d).

    All images have the same weights.
    """
    value = tiles.value.unflatten(0, tiles.problems)  # (N, Y, X, M, k_y, k_x, d)
    along_x = tiles.column_table().softmax(dim=-1).to(value.dtype)[None, None]
    along_y = tiles.row_table().softmax(dim=-1).to(value.dtype)[None, :, None]
    key_rows, columns, features = value.shape[-3], tiles.tile[1], value.shape[-1]
    wide = value.transpose(4, 5).flatten(5)  # (..., k_x, k_y * d)
    wide = (along_x @ wide).unflatten(5, (key_rows, features))  # (..., t_x, k_y, d)
    wide = along_y @ wide.transpose(4, 5).flatten(5)  # (..., t_y, t_x * d)
    attended = wide.unflatten(5, (columns, features))
    return tiles.join(attended.flatten(4, 5).flatten(0, 2))


@over_tiles
def nested(tiles: Tiles) -> Tensor:
    """0011: a softmax over the columns of each key row, then one over the rows; (N, H, W, M * d).

    Each is stable by itself, so that no range of energies overflows. A quotient of two sums of
    exponentials would be simpler and fails when E3 and E4 both are large.
    """
    value = tiles.value  # (B, M, k_y, k_x, d)
    rows = tiles.row_table()[None, :, None].expand(*tiles.problems, -1, -1, -1).flatten(0, 2)
    columns = tiles.column_table()[None, None].expand(*tiles.problems, -1, -1, -1).flatten(0, 2)
    # (B, M, k_y, t_x, k_x)
    energy = columns.unsqueeze(2) + tiles.key_energy.unsqueeze(3)
    within = energy.softmax(dim=-1).to(value.dtype) @ value  # (B, M, k_y, t_x, d)
    total = energy.logsumexp(dim=-1)  # (B, M, k_y, t_x)
    # (B, M, t_x, t_y, k_y)
    energy = rows.unsqueeze(2) + total.transpose(2, 3).unsqueeze(3)
    attended = energy.softmax(dim=-1).to(value.dtype) @ within.transpose(2, 3)
    return tiles.join(attended.transpose(2, 3).flatten(2, 3))
