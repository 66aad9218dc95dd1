"""Any terms by the operator that adds energies from tables of rows and columns."""

from __future__ import annotations

from torch import Tensor

from plugins.attention.kernels.attend import attend
from plugins.attention.kernels.maps.tiles import Tiles

__all__ = ["blocked"]


def blocked(tiles: Tiles) -> Tensor:
    """Any terms: (N, H, W, M * d)."""
    query = key = score = None
    if tiles.block.e1:
        query, key = tiles.content_query.unsqueeze(2), tiles.key
    elif tiles.block.e3:
        score = tiles.key_energy
    rows, columns = tiles.along_rows().unsqueeze(2), tiles.along_columns().unsqueeze(2)
    return tiles.join(attend(query, key, tiles.value, rows, columns, score).squeeze(2))
