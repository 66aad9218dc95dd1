"""The parameters of generalized attention over feature maps, which its forms compute with."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plugins.attention.core.energy import check_terms

__all__ = ["Block2d"]


class Block2d(nn.Module):
    """Projections, biases and strides; its arguments are those of `GeneralizedAttention2d`."""

    is_mechanism = True

    def __init__(
        self,
        in_channels: int,
        heads: int = 8,
        terms: str = "1111",
        kv_stride: int = 2,
        q_stride: int = 1,
        spatial_range: int | None = None,
        position_dim: int | None = None,
        position_magnitude: float = 1,
    ) -> None:
        super().__init__()
        channels = in_channels
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

    def subsample(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the queries and the keys among the positions of `x`, (N, C, H, W) each."""
        queries = x[..., :: self.q_stride, :: self.q_stride]
        return queries, x[..., :: self.kv_stride, :: self.kv_stride]

    def grid(self, x: Tensor) -> tuple[int, int]:
        """Return rows and columns of queries in a map `x`."""
        return -(-x.shape[2] // self.q_stride), -(-x.shape[3] // self.q_stride)

    def extra_repr(self) -> str:
        """Show what distinguishes this block in a printed model."""
        return (
            f"{self.channels}, heads={self.heads}, terms={self.terms!r}, "
            f"kv_stride={self.kv_stride}, q_stride={self.q_stride}, "
            f"spatial_range={self.spatial_range}"
        )
