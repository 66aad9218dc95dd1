"""Generalized attention over sequences: the same four energies as over feature maps.

The position enters as in Transformer-XL (Dai et al. 2019, https://arxiv.org/abs/1901.02860): by
sinusoids of the offset, and all energies are divided by sqrt(d). `1000` is then the Transformer's
multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plugins.attention.energies1d import Energies, score_of_key, score_of_memory
from plugins.attention.energy import check_terms
from plugins.attention.forms1d import form_of, pool
from plugins.attention.relative1d import OffsetRows
from plugins.attention.visible1d import Visible

__all__ = ["GeneralizedAttention1d"]


class GeneralizedAttention1d(nn.Module):
    """Multi-head attention of a sequence to itself or to another, with any of the 16 term sets.

    Query and key projections have no bias: a bias b in the query would bring b.k, a key-content
    energy like E3, into sets that do not have it.

    Parameters
    ----------
    channels: int
        C, features of queries and of the output.
    heads: int
        M; divides C.
    terms: str
        Four bits E1E2E3E4.
    key_channels: int, optional
        Features of the sequence attended to; default C.
    spatial_range: int, optional
        Keys farther than this from the query are left out. Only for self-attention.
    position_dim: int, optional
        Sinusoids of an offset; even; default C.

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
        self.spatial_range = spatial_range
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

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend, in the cheapest form that computes these terms.

        Parameters
        ----------
        query: Tensor
            (N, T, C).
        memory: Tensor, optional
            (N, S, key_channels), the sequence attended to; default `query`.
        causal: bool
            Whether keys behind the query are hidden.
        key_padding_mask: Tensor, optional
            (N, S), True where `memory` is padding. Padding must be at the end: positions count
            from the first column.

        Returns
        -------
        Tensor
            (N, T, C).
        """
        memory = query if memory is None else memory
        visible = self._visible(query, memory.shape[1], causal, key_padding_mask)
        score = score_of_memory(self, memory)
        if self.terms in ("0000", "0010") and visible.reaches_all:
            out = self.out_proj(pool(score, memory, self.v_proj, visible, self.heads))
            return out.expand(-1, query.shape[1], -1)
        key = self.split_heads(self.k_proj(memory)) if self.e1 else None
        value = self.split_heads(self.v_proj(memory))
        return self._attend(Energies.of(self, query, key, score, visible), value, visible)

    def keys_values(self, memory: Tensor) -> tuple[Tensor | None, Tensor]:
        """Project (N, S, C) to keys and values, (N, M, S, d) each; no keys without E1 and E3.

        They do not depend on the query, so that a decoder may keep them from step to step.
        """
        key = self.split_heads(self.k_proj(memory)) if self.e1 or self.e3 else None
        return key, self.split_heads(self.v_proj(memory))

    def attend(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
        query_start: int = 0,
    ) -> Tensor:
        """Attend to keys and values made by :meth:`keys_values`.

        `query_start` is the position of the first query: in incremental decoding the number of
        steps before this one. The other arguments are those of :meth:`forward`.
        """
        visible = self._visible(query, value.shape[2], causal, key_padding_mask, query_start)
        energies = Energies.of(self, query, key, score_of_key(self, key), visible)
        return self._attend(energies, value, visible)

    def weights(
        self,
        query: Tensor,
        key: Tensor | None,
        keys: int,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
        query_start: int = 0,
    ) -> Tensor:
        """Attention weights, (N or 1, M, T or 1, S), of at least single precision.

        `keys` is S, the other arguments are those of :meth:`attend`. A dimension is 1 where the
        weights do not vary along it.
        """
        visible = self._visible(query, keys, causal, key_padding_mask, query_start)
        energies = Energies.of(self, query, key, score_of_key(self, key), visible)
        return energies.weights(visible, query).expand(-1, self.heads, -1, -1)

    def combine(self, weights: Tensor, value: Tensor, queries: int) -> Tensor:
        """Weighted sum of values, projected: (N, T, C) for `queries` = T."""
        attended = weights.to(value.dtype) @ value  # (N, M, T or 1, d)
        out = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out.expand(-1, queries, -1)

    def energy(self, query: Tensor, key: Tensor | None, keys: int, query_start: int = 0) -> Tensor:
        """Sum of the energies that are on, without masks: (N or 1, M, T or 1, S).

        A dimension is 1 where the energies do not vary along it.
        """
        visible = Visible(query.shape[1], keys, query_start)
        energies = Energies.of(self, query, key, score_of_key(self, key), visible)
        return energies.dense(visible, query).expand(-1, self.heads, -1, -1)

    def train(self, mode: bool = True) -> GeneralizedAttention1d:
        """Switch between training and evaluation, as every module does."""
        if mode:
            self.offset_rows.forget()
        return super().train(mode)

    def _visible(
        self,
        query: Tensor,
        keys: int,
        causal: bool,
        padding: Tensor | None,
        query_start: int = 0,
    ) -> Visible:
        return Visible(query.shape[1], keys, query_start, causal, self.spatial_range, padding)

    def _attend(self, energies: Energies, value: Tensor, visible: Visible) -> Tensor:
        attended = form_of(self.terms, visible)(energies, value, visible)
        out = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out.expand(-1, visible.queries, -1)

    def split_heads(self, projected: Tensor) -> Tensor:
        """(N, T, M * d) to (N, M, T, d)."""
        return projected.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    def extra_repr(self) -> str:
        """Show what distinguishes this module in a printed model."""
        return f"{self.channels}, heads={self.heads}, terms={self.terms!r}"
