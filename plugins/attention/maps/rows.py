"""Which rows of the weights belong to some positions of a map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["rows_of"]


def rows_of(x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
    """Return the index of each (row, column) in the flattened map `x`, (N, C, H, W).

    Raises
    ------
    ValueError
        If a position is not in the map.
    """
    height, width = x.shape[-2:]
    for row, column in queries:
        if not (0 <= row < height and 0 <= column < width):
            raise ValueError(f"position {(row, column)} is outside of the map of {(height, width)}")
    index = [row * width + column for row, column in queries]
    return torch.tensor(index, dtype=torch.long, device=x.device)
