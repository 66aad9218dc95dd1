"""Generalized attention over feature maps.

Zhu et al. 2019, https://arxiv.org/abs/1904.05873, equations (1) and (2): the weight of key k for
query q is the softmax over k of the sum of those of four energies that are switched on,

    E1 = q . k          query content and key content
    E2 = q . r(k - q)   query content and relative position
    E3 = u . k          key content only
    E4 = v . r(k - q)   relative position only

with q, k the projected contents, r the projected sinusoids of the offset, u and v learned vectors.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.energy import check_terms, with_bias
from plugins.attention.position import relative_sinusoid

__all__ = ["GeneralizedAttention2d"]

WAVELENGTH = 1000.0
"""Base of the sinusoids in mmcv's module, which published checkpoints were trained with."""


class GeneralizedAttention2d(nn.Module):
    """Multi-head attention of a feature map to itself, with any of the 16 term sets.

    Parameter names and shapes are those of mmcv's ``GeneralizedAttention``, so that its checkpoints
    load. As there, energies carry no 1/sqrt(d); strides subsample; the row and the column encoding
    are projected apart and their sum is divided by sqrt(2); the block is residual and starts as
    the identity. Unlike there, every term set is right on every map.

    Parameters
    ----------
    channels: int
        C, channels in and out.
    heads: int
        M. Each head has ``C // M`` features, as in mmcv.
    terms: str
        Four bits E1E2E3E4.
    kv_stride, q_stride: int
        Keys (queries) are taken at every kv_stride-th (q_stride-th) row and column. With
        q_stride > 1 the result is brought back to (H, W) by bilinear interpolation.
    spatial_range: int, optional
        Keys farther than this from the query on either axis, in input positions, are left out.
        None: all keys. At least ``kv_stride - 1``, so that no query is left without a key.
    position_dim: int, optional
        Sinusoids of an offset, half of them for each axis; divisible by 4; default C.
    position_magnitude: float
        Factor on the offsets.

    Raises
    ------
    ValueError
        If an argument is out of range.
    """

    is_mechanism = True

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        terms: str = "1111",
        kv_stride: int = 2,
        q_stride: int = 1,
        spatial_range: int | None = None,
        position_dim: int | None = None,
        position_magnitude: float = 1,
    ) -> None:
        super().__init__()
        position_dim = channels if position_dim is None else position_dim
        if heads < 1 or heads > channels:
            raise ValueError(f"heads must be in 1..channels ({channels}), got {heads}")
        if min(kv_stride, q_stride) < 1:
            raise ValueError(f"strides are at least 1, got kv {kv_stride} and q {q_stride}")
        if spatial_range is not None and spatial_range < max(kv_stride - 1, 0):
            raise ValueError(
                f"spatial_range {spatial_range} leaves queries without any key at "
                f"kv_stride {kv_stride}: at least {kv_stride - 1}"
            )
        self.e1, self.e2, self.e3, self.e4 = check_terms(terms)
        if (self.e2 or self.e4) and position_dim % 4:
            raise ValueError(f"position_dim must be divisible by 4, got {position_dim}")
        self.channels, self.heads, self.terms = channels, heads, terms
        self.kv_stride, self.q_stride = kv_stride, q_stride
        self.spatial_range, self.position_magnitude = spatial_range, position_magnitude
        self.position_dim = position_dim
        self.head_dim = channels // heads
        inner = self.head_dim * heads

        if self.e1 or self.e2:
            self.query_conv = nn.Conv2d(channels, inner, 1, bias=False)
        if self.e1 or self.e3:
            self.key_conv = nn.Conv2d(channels, inner, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, inner, 1, bias=False)
        if self.e2 or self.e4:
            self.appr_geom_fc_x = nn.Linear(position_dim // 2, inner, bias=False)
            self.appr_geom_fc_y = nn.Linear(position_dim // 2, inner, bias=False)
        if self.e3:
            self.appr_bias = nn.Parameter(torch.empty(inner))
        if self.e4:
            self.geom_bias = nn.Parameter(torch.empty(inner))
        self.proj_conv = nn.Conv2d(inner, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as mmcv's module does; gamma is 0, so the block starts as the identity."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_uniform_(layer.weight, a=1)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        bound = 1 / math.sqrt(2 * self.head_dim)
        for bias in ("appr_bias", "geom_bias"):
            if hasattr(self, bias):
                nn.init.uniform_(getattr(self, bias), -bound, bound)
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        queries = x[..., :: self.q_stride, :: self.q_stride]
        keys = x[..., :: self.kv_stride, :: self.kv_stride]
        value = self._split_heads(self.value_conv(keys))
        # Float32 energies: in half precision a softmax over thousands of keys loses the tail.
        energy = self.energy(queries, keys)
        weights = energy.to(torch.promote_types(energy.dtype, torch.float32)).softmax(dim=-1)
        attended = weights.to(value.dtype) @ value  # (N, M, queries or 1, d)
        size = queries.shape[-2:] if attended.shape[2] > 1 else (1, 1)
        out = self.proj_conv(attended.transpose(2, 3).reshape(x.shape[0], -1, *size))
        if self.q_stride > 1 and attended.shape[2] > 1:
            out = F.interpolate(out, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.gamma * out + x

    def energy(self, queries: Tensor, keys: Tensor) -> Tensor:
        """Sum of the energies that are on, in the plain dense form.

        Parameters
        ----------
        queries, keys: Tensor
            (N, C, H, W) and (N, C, Hk, Wk), subsampled already.

        Returns
        -------
        Tensor
            (N or 1, M, H * W or 1, Hk * Wk). A dimension is 1 where the energies do not vary along
            it: `0010` is the same for all queries, `0001` for all images.
        """
        height, width = queries.shape[-2:]
        key_height, key_width = keys.shape[-2:]
        query = self._split_heads(self.query_conv(queries)) if self.e1 or self.e2 else None
        energy = keys.new_zeros(1, self.heads, 1, key_height * key_width)
        if self.e1 or self.e3:
            key = self._split_heads(self.key_conv(keys)).transpose(2, 3)
            content = with_bias(query if self.e1 else None, self._bias("appr_bias"))
            energy = energy + content @ key
        if self.e2 or self.e4:
            position = with_bias(query if self.e2 else None, self._bias("geom_bias"))
            column = self._encode(width, key_width, self.appr_geom_fc_x)  # (M, W, Wk, d)
            row = self._encode(height, key_height, self.appr_geom_fc_y)  # (M, H, Hk, d)
            position = position.expand(-1, -1, height * width, -1).unflatten(2, (height, width))
            along_x = torch.einsum("nmhwd,mwvd->nmhwv", position, column)
            along_y = torch.einsum("nmhwd,mhud->nmhwu", position, row)
            both = along_y.unsqueeze(-1) + along_x.unsqueeze(-2)  # (N, M, H, W, Hk, Wk)
            energy = energy + both.flatten(4).flatten(2, 3)
        if self.spatial_range is not None:
            near_y = self._near(height, key_height, keys.device)
            near_x = self._near(width, key_width, keys.device)
            near = near_y[:, None, :, None] & near_x[None, :, None, :]
            energy = energy.masked_fill(~near.flatten(2).flatten(0, 1), -math.inf)
        return energy

    def _bias(self, name: str) -> Tensor | None:
        """u or v as (1, M, 1, d), None when its term is off."""
        bias = getattr(self, name, None)
        return None if bias is None else bias.view(1, self.heads, 1, self.head_dim)

    def _split_heads(self, projected: Tensor) -> Tensor:
        """(N, M * d, H, W) to (N, M, H * W, d)."""
        return projected.flatten(2).unflatten(1, (self.heads, self.head_dim)).transpose(2, 3)

    def _difference(self, queries: int, keys: int, device: torch.device) -> Tensor:
        """(queries, keys), query minus key along one axis, in input positions."""
        query = torch.arange(queries, device=device) * self.q_stride
        key = torch.arange(keys, device=device) * self.kv_stride
        return query[:, None] - key[None, :]

    def _encode(self, queries: int, keys: int, projection: nn.Linear) -> Tensor:
        """Projected encoding of all offsets along one axis: (M, queries, keys, d)."""
        weight = projection.weight
        offset = self._difference(queries, keys, weight.device) * self.position_magnitude
        encoding = relative_sinusoid(offset, self.position_dim // 2, WAVELENGTH).to(weight.dtype)
        projected = projection(encoding) / math.sqrt(2)
        return projected.unflatten(-1, (self.heads, self.head_dim)).permute(2, 0, 1, 3)

    def _near(self, queries: int, keys: int, device: torch.device) -> Tensor:
        """(queries, keys), whether a key lies within the range along one axis."""
        assert self.spatial_range is not None
        return self._difference(queries, keys, device).abs() <= self.spatial_range

    def extra_repr(self) -> str:
        """Show what distinguishes this block in a printed model."""
        return (
            f"{self.channels}, heads={self.heads}, terms={self.terms!r}, "
            f"kv_stride={self.kv_stride}, q_stride={self.q_stride}, "
            f"spatial_range={self.spatial_range}"
        )
