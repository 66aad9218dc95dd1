"""Generalized attention over sequences: the same four energies as over feature maps.

The position enters as in Transformer-XL (Dai et al. 2019, https://arxiv.org/abs/1901.02860): by
sinusoids of the offset, and all energies are divided by sqrt(d). `1000` is then the Transformer's
multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor, nn

from plugins.attention.energy import check_terms, with_bias
from plugins.attention.position import relative_sinusoid

__all__ = ["GeneralizedAttention1d"]

WAVELENGTH = 10000.0
"""Base of the Transformer's sinusoids."""


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
        """Attend.

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
        key, value = self.keys_values(query if memory is None else memory)
        return self.attend(query, key, value, causal=causal, key_padding_mask=key_padding_mask)

    def keys_values(self, memory: Tensor) -> tuple[Tensor | None, Tensor]:
        """Project (N, S, C) to keys and values, (N, M, S, d) each; no keys without E1 and E3.

        They do not depend on the query, so that a decoder may keep them from step to step.
        """
        key = self._split_heads(self.k_proj(memory)) if self.e1 or self.e3 else None
        return key, self._split_heads(self.v_proj(memory))

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
        weights = self.weights(
            query,
            key,
            value.shape[2],
            causal=causal,
            key_padding_mask=key_padding_mask,
            query_start=query_start,
        )
        return self.combine(weights, value, query.shape[1])

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
        energy = self.energy(query, key, keys, query_start)
        energy = energy.to(torch.promote_types(energy.dtype, torch.float32))
        difference = self._difference(query.shape[1], keys, query_start, query.device)
        masks = []
        if causal:
            masks.append(difference < 0)
        if self.spatial_range is not None:
            masks.append(difference.abs() > self.spatial_range)
        if key_padding_mask is not None:
            masks.append(key_padding_mask[:, None, None, :])
        if masks:
            hidden = functools.reduce(torch.logical_or, masks)
            # A query in the padding may have no key within its range that is not padding. What it
            # attends to matters to nobody, but NaN would reach the others in the next layer.
            hidden = hidden & ~hidden.all(dim=-1, keepdim=True)
            energy = energy.masked_fill(hidden, -math.inf)
        return energy.softmax(dim=-1)

    def combine(self, weights: Tensor, value: Tensor, queries: int) -> Tensor:
        """Weighted sum of values, projected: (N, T, C) for `queries` = T."""
        attended = weights.to(value.dtype) @ value  # (N, M, T or 1, d)
        out = self.out_proj(attended.transpose(1, 2).flatten(2))
        return out.expand(-1, queries, -1)

    def energy(self, query: Tensor, key: Tensor | None, keys: int, query_start: int = 0) -> Tensor:
        """Sum of the energies that are on, without masks: (N or 1, M, T or 1, S).

        A dimension is 1 where the energies do not vary along it.
        """
        heads = self._split_heads(self.q_proj(query)) if self.e1 or self.e2 else None
        energy = query.new_zeros(1, self.heads, 1, keys)
        if key is not None:
            content = with_bias(heads if self.e1 else None, self._bias("appr_bias"))
            energy = energy + content @ key.transpose(2, 3)
        if self.e2 or self.e4:
            position = with_bias(heads if self.e2 else None, self._bias("geom_bias"))
            difference = self._difference(query.shape[1], keys, query_start, query.device)
            # An offset stands in many cells of the table: project each once, then spread.
            offsets = torch.arange(
                query_start - keys + 1, query_start + query.shape[1], device=query.device
            )
            encoding = relative_sinusoid(offsets, self.position_dim, WAVELENGTH)
            relative = self.appr_geom_fc(encoding.to(self.appr_geom_fc.weight.dtype))
            relative = relative.unflatten(-1, (self.heads, self.head_dim)).transpose(0, 1)
            by_offset = position @ relative.transpose(1, 2)  # (N or 1, M, T or 1, offsets)
            index = (difference - (query_start - keys + 1)).expand(*by_offset.shape[:2], -1, -1)
            by_offset = by_offset.expand(-1, -1, query.shape[1], -1)
            energy = energy + by_offset.gather(-1, index)
        return energy / math.sqrt(self.head_dim)

    def _bias(self, name: str) -> Tensor | None:
        bias = getattr(self, name, None)
        return None if bias is None else bias.view(1, self.heads, 1, self.head_dim)

    def _split_heads(self, projected: Tensor) -> Tensor:
        """(N, T, M * d) to (N, M, T, d)."""
        return projected.unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)

    @staticmethod
    def _difference(queries: int, keys: int, query_start: int, device: torch.device) -> Tensor:
        """(queries, keys), query position minus key position."""
        query = torch.arange(queries, device=device) + query_start
        return query[:, None] - torch.arange(keys, device=device)[None, :]

    def extra_repr(self) -> str:
        """Show what distinguishes this module in a printed model."""
        return f"{self.channels}, heads={self.heads}, terms={self.terms!r}"
