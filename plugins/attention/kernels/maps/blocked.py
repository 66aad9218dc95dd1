"""Forms for a CPU that attend by one operator: fused attention, or the one with tables."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from plugins.attention.kernels.attend import attend
from plugins.attention.kernels.maps.tiles import Tiles, in_single, over_tiles

__all__ = ["blocked", "by_tables", "fused"]


@over_tiles
def fused(tiles: Tiles) -> Tensor:
    """1000, 1010: plain fused attention; (N, H, W, M * d)."""
    query, key = tiles.content_query, tiles.key.flatten(2, 3)
    value = tiles.value.flatten(2, 3)
    return tiles.join(F.scaled_dot_product_attention(query, key, value, scale=1.0))


def by_tables(tiles: Tiles) -> Tensor:
    """Any terms: (N, H, W, M * d)."""
    value, query, key = tiles.value, None, None
    if tiles.block.e1:
        query, key = tiles.content_query.unsqueeze(2), tiles.key
    elif tiles.block.e3:
        # One feature: 1 of every query and E3 of the key. A score might hide keys from all queries,
        # which a CPU looks for at every energy.
        value, key = in_single(value), tiles.key_energy.unsqueeze(4)
        query = key.new_ones(1).expand(*key.shape[:2], 1, tiles.tile[0] * tiles.tile[1], 1)
    rows, columns = tiles.along_rows().unsqueeze(2), tiles.along_columns().unsqueeze(2)
    attended = attend(query, key, value, rows, columns).squeeze(2)
    return tiles.join(attended.to(tiles.value.dtype))


blocked = over_tiles(by_tables)
"""Any terms."""
