"""What the cheap forms of 2-D attention are made of: projections and energies, laid out in tiles.

Shapes: N images, M heads of d features, B = N * (tiles of rows) * (tiles of columns) independent
problems of t_y * t_x queries and k_y * k_x keys. Global attention is the case of one tile, B = N.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.kernels.maps.axis import Axis
from plugins.attention.kernels.maps.block import Block2d

__all__ = ["Tiles", "in_single", "over_tiles", "residual", "working_type"]


def in_single(tensor: Tensor) -> Tensor:
    """Widen to float32: in half precision a softmax over thousands of keys loses the tail."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def working_type(x: Tensor) -> torch.dtype:
    """Return the type that autocast asks for, or that of the input."""
    device = x.device.type
    autocast = device != "meta" and torch.is_autocast_enabled(device)
    return torch.get_autocast_dtype(device) if autocast else x.dtype


def residual(block: Block2d, x: Tensor, attended: Tensor, kind: torch.dtype) -> Tensor:
    """Project what was attended, (N, H or 1, W or 1, M * d), and add it to the input."""
    layer = block.proj_conv
    assert layer.bias is not None
    features = attended.to(kind).permute(0, 3, 1, 2)
    out = F.conv2d(features, layer.weight.to(kind), layer.bias.to(kind))
    if block.q_stride > 1 and out.shape[2:] != (1, 1):
        out = F.interpolate(out, size=x.shape[-2:], mode="bilinear", align_corners=False)
    return block.gamma * out + x


class _once:
    """A property that is calculated once, as `cached_property`, without a lock.

    The compiler does not trace the lock of Python 3.11.
    """

    def __init__(self, calculate: Callable[[Tiles], Tensor]) -> None:
        self.calculate = calculate

    def __get__(self, tiles: Tiles, _: type | None = None) -> Tensor:
        found = self.calculate(tiles)
        tiles.__dict__[self.calculate.__name__] = found
        return found


class Tiles:
    """Projections and energies of one input.

    Energies and softmaxes are in float32 at least.

    Parameters
    ----------
    block: Block2d
        Gives the parameters.
    x: Tensor
        (N, C, H, W).
    kind: torch.dtype
        Type of the projections.
    """

    def __init__(self, block: Block2d, x: Tensor, kind: torch.dtype) -> None:
        self.block, self.x, self.kind = block, x, kind
        self.queries, self.keys = block.subsample(x)
        height, width = self.queries.shape[-2:]
        key_height, key_width = self.keys.shape[-2:]
        steps = (block.q_stride, block.kv_stride, block.spatial_range)
        self.rows = Axis.make(height, key_height, *steps, x.device)
        self.columns = Axis.make(width, key_width, *steps, x.device)
        self.tile = (self.rows.query.shape[1], self.columns.query.shape[1])

    def project(self, x: Tensor, layer: nn.Conv2d) -> Tensor:
        """Apply a 1x1 convolution without bias; (N, C, H, W) to (N, H, W, features).

        Features come last because every form multiplies over them or copies them as one run, and
        fused attention takes no other layout. It is a convolution, because oneDNN's convolution is
        faster than MKL's matrix product on a CPU with several threads.
        """
        x = x.to(self.kind).contiguous(memory_format=torch.channels_last)
        return F.conv2d(x, layer.weight.to(self.kind)).permute(0, 2, 3, 1)

    def _tiles(self, tokens: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """Cut (N, H, W, features) into (B, t_y, t_x, features)."""
        if self.block.spatial_range is None:
            return tokens
        cut = tokens.index_select(1, row.flatten()).index_select(2, column.flatten())
        cut = cut.unflatten(2, column.shape).unflatten(1, row.shape)
        return cut.transpose(2, 3).flatten(0, 2)

    def _heads(self, tokens: Tensor) -> Tensor:
        """(B, t_y, t_x, M * d) to (B, M, t_y, t_x, d)."""
        heads = tokens.unflatten(-1, (self.block.heads, self.block.head_dim))
        return heads.permute(0, 3, 1, 2, 4)

    @_once
    def query(self) -> Tensor:
        """Projected content of the queries, (B, M, t_y, t_x, d)."""
        tokens = self.project(self.queries, self.block.query_conv)
        return self._heads(self._tiles(tokens, self.rows.query, self.columns.query))

    @_once
    def key(self) -> Tensor:
        """Projected content of the keys, (B, M, k_y, k_x, d)."""
        tokens = self.project(self.keys, self.block.key_conv)
        return self._heads(self._tiles(tokens, self.rows.key, self.columns.key))

    @_once
    def value(self) -> Tensor:
        """Projected values, (B, M, k_y, k_x, d)."""
        tokens = self.project(self.keys, self.block.value_conv)
        return self._heads(self._tiles(tokens, self.rows.key, self.columns.key))

    @property
    def content_query(self) -> Tensor:
        """What is multiplied with the key's content when E1 is on: q or q + u, flat."""
        query = self.query.flatten(2, 3)
        if not self.block.e3:
            return query
        return query + self.per_head(self.block.appr_bias).to(query.dtype).unsqueeze(1)

    def per_head(self, vector: Tensor) -> Tensor:
        """(M * d) to (M, d)."""
        return vector.unflatten(0, (self.block.heads, self.block.head_dim))

    @_once
    def key_energy(self) -> Tensor:
        """E3 alone, float32, (B, M, k_y, k_x).

        u . (K x) is calculated as (u K) . x: M products a key instead of M * d.
        """
        weight = in_single(self.block.key_conv.weight).flatten(1)
        weight = weight.unflatten(0, (self.block.heads, self.block.head_dim))
        folded = (self.per_head(in_single(self.block.appr_bias)).unsqueeze(1) @ weight).squeeze(1)
        energy = in_single(self.keys).flatten(2).mT @ folded.mT
        energy = energy.unflatten(1, self.keys.shape[-2:])
        return self._tiles(energy, self.rows.key, self.columns.key).permute(0, 3, 1, 2)

    def table(self, axis: Axis, projection: nn.Linear | None) -> Tensor:
        """E4 alone along one axis, 0 when it is off; float32, (T, M or 1, t, k).

        v . (R r) is calculated as (v R) . r, as `key_energy` is.
        """
        if not self.block.e4 or projection is None:
            energy = torch.zeros(1, dtype=in_single(self.x).dtype, device=self.x.device)
            return axis.mask(energy.expand(*axis.difference.shape).unsqueeze(1))
        weight = in_single(projection.weight)
        weight = weight.unflatten(0, (self.block.heads, self.block.head_dim))
        folded = (self.per_head(in_single(self.block.geom_bias)).unsqueeze(1) @ weight).squeeze(1)
        energy = axis.encode(folded, weight.shape[-1], self.block.position_magnitude)
        return axis.mask(energy.permute(0, 3, 1, 2))

    def encoding(self, axis: Axis, projection: nn.Linear) -> Tensor:
        """Projected encodings of the offsets along one axis, float32, (M, T, t, k, d)."""
        weight = in_single(projection.weight)
        encoded = axis.encode(weight, weight.shape[-1], self.block.position_magnitude)
        encoded = encoded.unflatten(-1, (self.block.heads, self.block.head_dim))
        return encoded.permute(3, 0, 1, 2, 4)

    @property
    def position_query(self) -> Tensor:
        """q or q + v, to multiply with r when E2 is on; float32, (N, Y, X, M, t_y, t_x, d)."""
        query = in_single(self.query).unflatten(0, self.problems)
        if not self.block.e4:
            return query
        return query + self.per_head(in_single(self.block.geom_bias))[:, None, None]

    @property
    def problems(self) -> tuple[int, int, int]:
        """N, tiles of rows, tiles of columns."""
        return self.x.shape[0], self.rows.query.shape[0], self.columns.query.shape[0]

    def row_table(self) -> Tensor:
        """E4 along the rows, (T_y, M or 1, t_y, k_y)."""
        return self.table(self.rows, getattr(self.block, "appr_geom_fc_y", None))

    def column_table(self) -> Tensor:
        """E4 along the columns, (T_x, M or 1, t_x, k_x)."""
        return self.table(self.columns, getattr(self.block, "appr_geom_fc_x", None))

    def along_rows(self) -> Tensor:
        """E2 + E4 along the rows for every query, -inf out of range; (B, M, t_y * t_x, k_y)."""
        if self.block.e2:
            encoded = self.encoding(self.rows, self.block.appr_geom_fc_y)
            energy = torch.einsum("nYXmyxd,mYykd->nXxYmyk", self.position_query, encoded)
            energy = self.rows.mask(energy).permute(0, 3, 1, 4, 5, 2, 6)
        else:
            energy = self.row_table()[None, :, None, :, :, None]
        return self._flat(energy)

    def along_columns(self) -> Tensor:
        """E2 + E4 along the columns for every query, -inf out of range; (B, M, t_y * t_x, k_x)."""
        if self.block.e2:
            encoded = self.encoding(self.columns, self.block.appr_geom_fc_x)
            energy = torch.einsum("nYXmyxd,mXxkd->nYyXmxk", self.position_query, encoded)
            energy = self.columns.mask(energy).permute(0, 1, 3, 4, 2, 5, 6)
        else:
            energy = self.column_table()[None, None, :, :, None]
        return self._flat(energy)

    def _flat(self, energy: Tensor) -> Tensor:
        """Expand what broadcasts to (N, Y, X, M, t_y, t_x, k); (B, M, t_y * t_x, k)."""
        shape = (*self.problems, self.block.heads, *self.tile, -1)
        return energy.expand(shape).flatten(0, 2).flatten(2, 3)

    def join(self, attended: Tensor) -> Tensor:
        """Put the tiles (B, M, t_y * t_x, d) together: (N, H, W, M * d)."""
        height, width = self.queries.shape[-2:]
        tiles = attended.unflatten(2, self.tile).unflatten(0, self.problems)
        tokens = tiles.permute(0, 1, 4, 2, 5, 3, 6).flatten(5).flatten(3, 4).flatten(1, 2)
        return tokens[:, :height, :width]


def over_tiles(
    attend: Callable[[Tiles], Tensor],
) -> Callable[[Block2d, Tensor, torch.dtype], Tensor]:
    """Make a form of what attends, given the tiles: (N, H or 1, W or 1, M * d)."""

    @wraps(attend)
    def form(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
        return residual(block, x, attend(Tiles(block, x, kind)), kind)

    return form
