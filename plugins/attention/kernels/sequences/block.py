"""The parameters of generalized attention over sequences, which its forms compute with."""

from __future__ import annotations

import math
from typing import Self

import torch
from torch import Tensor, nn

from plugins.attention.core.energy import check_terms
from plugins.attention.core.sequence import SequenceModule
from plugins.attention.kernels.sequences.relative import OffsetRows

__all__ = ["Block1d"]


class Block1d(SequenceModule):
    """Projections and biases; its arguments are those of `GeneralizedAttention1d`."""

    is_mechanism = True

    def __init__(
        self,
        channels: int,
        heads: int = 8,
        terms: str = "1111",
        key_channels: int | None = None,
        spatial_range: int | None = None,
        position_dim: int | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or channels % heads:
            raise ValueError(f"heads ({heads}) must divide channels ({channels})")
        if spatial_range is not None and spatial_range < 0:
            raise ValueError(f"spatial_range must not be negative, got {spatial_range}")
        key_channels = channels if key_channels is None else key_channels
        self.e1, self.e2, self.e3, self.e4 = check_terms(terms)
        self.channels, self.heads, self.terms = channels, heads, terms
        self.head_dim = channels // heads
        self.scale = 1 / math.sqrt(self.head_dim)
        self.spatial_range = self.reach = spatial_range
        self.position_dim = channels if position_dim is None else position_dim
        if (self.e2 or self.e4) and self.position_dim % 2:
            raise ValueError(f"position_dim must be even, got {self.position_dim}")

        if self.e1 or self.e2:
            self.q_proj = nn.Linear(channels, channels, bias=False)
        if self.e1 or self.e3:
            self.k_proj = nn.Linear(key_channels, channels, bias=False)
        self.v_proj = nn.Linear(key_channels, channels)
        if self.e2 or self.e4:
            self.appr_geom_fc = nn.Linear(self.position_dim, channels, bias=False)
        if self.e3:
            self.appr_bias = nn.Parameter(torch.empty(channels))
        if self.e4:
            self.geom_bias = nn.Parameter(torch.empty(channels))
        self.out_proj = nn.Linear(channels, channels)
        self.offset_rows = OffsetRows()
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as fairseq's attention does; u and v as in the 2-D module."""
        # Queries, keys and values are three blocks of one matrix there, hence the gain.
        for name in ("q_proj", "k_proj", "v_proj", "appr_geom_fc"):
            if hasattr(self, name):
                nn.init.xavier_uniform_(getattr(self, name).weight, gain=1 / math.sqrt(2))
        nn.init.xavier_uniform_(self.out_proj.weight)
        nn.init.zeros_(self.v_proj.bias)
        nn.init.zeros_(self.out_proj.bias)
        bound = 1 / math.sqrt(2 * self.head_dim)
        for bias in ("appr_bias", "geom_bias"):
            if hasattr(self, bias):
                nn.init.uniform_(getattr(self, bias), -bound, bound)

    def keys_values(self, memory: Tensor) -> tuple[Tensor | None, Tensor]:
        """Project (N, S, C) to keys and values, (N, M, S, d) each; no keys without E1 and E3.

        They do not depend on the query, so that a decoder may keep them from step to step.
        """
        key = self.split_heads(self.k_proj(memory)) if self.e1 or self.e3 else None
        return key, self.split_heads(self.v_proj(memory))

    def train(self, mode: bool = True) -> Self:
        """Switch between training and evaluation, as every module does."""
        if mode:
            self.offset_rows.forget()
        return super().train(mode)

    def split_heads(self, projected: Tensor) -> Tensor:
        """(N, T, M * d) to (N, M, T, d)."""
        return projected.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    def extra_repr(self) -> str:
        """Show what distinguishes this module in a printed model."""
        return f"{self.channels}, heads={self.heads}, terms={self.terms!r}"
