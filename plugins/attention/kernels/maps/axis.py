"""One axis of a feature map: which keys a query may see, and how far they are."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from plugins.attention.core.position import relative_sinusoid

__all__ = ["WAVELENGTH", "Axis"]

WAVELENGTH = 1000.0
"""Base of the sinusoids in mmcv's module, which published checkpoints were trained with."""

_SMALLEST_TILE, _LARGEST_TILE = 4, 16
"""Queries a tile. Smaller ones make matrices too small to multiply fast; larger ones make each
query look at many keys that are out of its range."""


@dataclass(frozen=True)
class Axis:
    """Queries and keys along one axis, in T tiles of t queries that share k candidate keys.

    Without a range there is one tile of all queries and all keys. With a range, the candidates of
    a tile are the keys that any of its queries may see, so that work falls with the range; `near`
    says which of them a query may see.

    Parameters
    ----------
    queries, keys: int
        Positions on the query grid and on the key grid.
    q_stride, kv_stride: int
        Input positions between neighbours on these grids.
    spatial_range: int, optional
        Largest distance of a key, in input positions.
    query: Tensor
        (T, t), positions on the query grid. The last tile repeats the last query to be full.
    key: Tensor
        (T, k), positions on the key grid; consecutive in a tile.
    """

    queries: int
    keys: int
    q_stride: int
    kv_stride: int
    spatial_range: int | None
    query: Tensor
    key: Tensor

    @classmethod
    def make(
        cls,
        queries: int,
        keys: int,
        q_stride: int,
        kv_stride: int,
        spatial_range: int | None,
        device: torch.device,
    ) -> Axis:
        """Lay out the tiles."""
        grid = (queries, keys, q_stride, kv_stride, spatial_range)
        if spatial_range is None:
            query, key = torch.arange(queries, device=device), torch.arange(keys, device=device)
            return cls(*grid, query.unsqueeze(0), key.unsqueeze(0))
        half_window = spatial_range // q_stride + 1
        tile = min(queries, max(_SMALLEST_TILE, min(_LARGEST_TILE, half_window)))
        tiles = -(-queries // tile)
        candidates = min(keys, ((tile - 1) * q_stride + 2 * spatial_range) // kv_stride + 1)
        first_query = torch.arange(tiles, device=device) * tile
        # Round up: the first key at or after the near end of the first query's range.
        first_key = -((spatial_range - first_query * q_stride) // kv_stride)
        first_key = first_key.clamp(0, keys - candidates)
        query = first_query.unsqueeze(1) + torch.arange(tile, device=device)
        key = first_key.unsqueeze(1) + torch.arange(candidates, device=device)
        return cls(*grid, query.clamp(max=queries - 1), key)

    @property
    def difference(self) -> Tensor:
        """(T, t, k), query minus key in input positions."""
        query, key = self.query * self.q_stride, self.key * self.kv_stride
        return query.unsqueeze(2) - key.unsqueeze(1)

    def mask(self, energy: Tensor) -> Tensor:
        """Set an energy (..., T, M, t, k) to -inf where the key is out of the query's range."""
        if self.spatial_range is None:
            return energy
        far = self.difference.abs() > self.spatial_range
        return energy.masked_fill(far.unsqueeze(1), -math.inf)

    def encode(self, weight: Tensor, dim: int, magnitude: float) -> Tensor:
        """Project the encoding of every offset; each distinct offset once.

        Parameters
        ----------
        weight: Tensor
            (features, dim).

        Returns
        -------
        Tensor
            (T, t, k, features), divided by sqrt(2) as mmcv's module does.
        """
        step = math.gcd(self.q_stride, self.kv_stride)
        low, high = -(self.keys - 1) * self.kv_stride, (self.queries - 1) * self.q_stride
        offset = torch.arange(low, high + 1, step, device=weight.device)
        sinusoid = relative_sinusoid(offset * magnitude, dim, WAVELENGTH).to(weight.dtype)
        projected = sinusoid @ weight.mT / math.sqrt(2)
        index = (self.difference - low) // step
        return projected.index_select(0, index.flatten()).unflatten(0, index.shape)
