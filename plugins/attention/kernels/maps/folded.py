"""Position folded into queries and keys, for kernels that fuse softmax(q k) v.

The encoding of offset s_q x_q - s_k x_k is linear in cos(w s_k x_k) and sin(w s_k x_k). For a given
query, the energy of position along x is therefore a vector in the span of these over the key
columns. With an orthonormal basis U (columns x r) of the span, ``Ex = (Ex U) U^T``: r features more
for query and key, the key's being rows of U. The numerical rank r is well below the number of
columns on large maps. The one-hot fold takes the identity for U, exact for any encoding.

Concatenated bias factors are known from FlashBias, https://arxiv.org/abs/2505.12044.
"""

from __future__ import annotations

from functools import lru_cache

import numpy
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.position import relative_sinusoid
from plugins.attention.kernels.maps.axis import WAVELENGTH, Axis
from plugins.attention.kernels.maps.tiles import Tiles

__all__ = ["folded_low_rank", "folded_one_hot", "fused"]

_TOLERANCE = {torch.float64: 1e-14, torch.float32: 1e-7, torch.bfloat16: 1e-4, torch.float16: 1e-4}
"""Singular values left out of the basis, relative to the largest: the rounding of each type."""

_MULTIPLE = 8
"""Flash kernels take head dimensions that are multiples of it."""


def fused(tiles: Tiles) -> Tensor:
    """1000, 1010: plain fused attention; (N, H, W, M * d)."""
    query, key = tiles.content_query, tiles.key.flatten(2, 3)
    value = tiles.value.flatten(2, 3)
    return tiles.join(F.scaled_dot_product_attention(query, key, value, scale=1.0))


def folded_low_rank(tiles: Tiles) -> Tensor:
    """Any terms with position, at the encoding's numerical rank; (N, H, W, M * d)."""
    block, value = tiles.block, tiles.value

    def basis(axis: Axis) -> Tensor:
        found = _basis(
            axis.keys,
            axis.kv_stride * block.position_magnitude,
            block.position_dim // 2,
            _TOLERANCE[value.dtype],
        )
        return torch.tensor(found, dtype=_energy_type(tiles), device=value.device)

    return _folded(tiles, basis(tiles.rows), basis(tiles.columns))


def folded_one_hot(tiles: Tiles) -> Tensor:
    """Any terms with position, with a feature a key row and a key column; (N, H, W, M * d)."""

    def basis(axis: Axis) -> Tensor:
        return torch.eye(axis.keys, dtype=_energy_type(tiles), device=tiles.x.device)

    return _folded(tiles, basis(tiles.rows), basis(tiles.columns))


def _energy_type(tiles: Tiles) -> torch.dtype:
    return torch.promote_types(tiles.x.dtype, torch.float32)


@lru_cache(maxsize=64)
def _basis(keys: int, step: float, dim: int, tolerance: float) -> numpy.ndarray:
    """Orthonormal basis of the encoding's span over the keys, (keys, rank), float64."""
    position = torch.arange(keys, dtype=torch.float64, device="cpu") * step
    span = relative_sinusoid(position, dim, WAVELENGTH).numpy()
    left, singular, _ = numpy.linalg.svd(span, full_matrices=False)
    return left[:, singular > tolerance * singular[0]]


def _folded(tiles: Tiles, rows: Tensor, columns: Tensor) -> Tensor:
    """One fused call with bases (k_y, r_y) and (k_x, r_x) of the energies of position."""
    block, value = tiles.block, tiles.value.flatten(2, 3)
    kind, shape = value.dtype, value.shape
    query, key = [], []
    if block.e1:
        query.append(tiles.content_query)
        key.append(tiles.key.flatten(2, 3))
    elif block.e3:
        energy = tiles.key_energy.flatten(2).unsqueeze(3)
        query.append(energy.new_ones(1).expand(*shape[:2], tiles.tile[0] * tiles.tile[1], 1))
        key.append(energy)
    along_rows = _coefficients(tiles, tiles.rows, block.appr_geom_fc_y, rows, "nmyxd,myrd->nmyxr")
    query.append(along_rows)
    key.append(
        rows.unsqueeze(1).expand(-1, tiles.keys.shape[3], -1).flatten(0, 1).expand(*shape[:3], -1)
    )
    along_columns = _coefficients(
        tiles, tiles.columns, block.appr_geom_fc_x, columns, "nmyxd,mxrd->nmyxr"
    )
    query.append(along_columns)
    key.append(columns.expand(tiles.keys.shape[2], -1, -1).flatten(0, 1).expand(*shape[:3], -1))
    queries = torch.cat([part.to(kind) for part in query], dim=3)
    keys = torch.cat([part.to(kind) for part in key], dim=3)
    # Flash kernels want one size for all three.
    size = -(-max(queries.shape[3], shape[3]) // _MULTIPLE) * _MULTIPLE
    queries, keys, padded = (F.pad(t, (0, size - t.shape[3])) for t in (queries, keys, value))
    attended = F.scaled_dot_product_attention(queries, keys, padded, scale=1.0)
    return tiles.join(attended[..., : shape[3]])


def _coefficients(
    tiles: Tiles, axis: Axis, projection: nn.Linear, basis: Tensor, product: str
) -> Tensor:
    """Energies of position along one axis in terms of the basis: (N, M, H * W, r)."""
    block = tiles.block
    if block.e2:
        encoded = tiles.encoding(axis, projection).squeeze(1)  # (M, t, k, d)
        encoded = torch.einsum("mtkd,kr->mtrd", encoded, basis)
        energy = torch.einsum(product, tiles.position_query[:, 0, 0], encoded)
    else:
        energy = (tiles.table(axis, projection) @ basis)[0]  # (M, t, r)
        energy = energy.unsqueeze(2) if axis is tiles.rows else energy.unsqueeze(1)
    return energy.expand(tiles.x.shape[0], block.heads, *tiles.tile, -1).flatten(2, 3)
