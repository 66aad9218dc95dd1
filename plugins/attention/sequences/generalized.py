"""Generalized attention over sequences: the same four energies as over feature maps.

Position enters by sinusoids of the offset, as in Transformer-XL (Dai et al. 2019,
https://arxiv.org/abs/1901.02860). All energies are divided by sqrt(d). `1000` is then the
Transformer's multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from plugins.attention.kernels.sequences.block import Block1d
from plugins.attention.kernels.sequences.energies import Energies, score_of_key, score_of_memory
from plugins.attention.kernels.sequences.forms import form_of, pool
from plugins.attention.kernels.sequences.visible import Visible

__all__ = ["GeneralizedAttention1d"]


class GeneralizedAttention1d(Block1d):
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

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend by the cheapest form that computes these terms.

        Parameters
        ----------
        query: Tensor
            (N, T, C).
        memory: Tensor, optional
            (N, S, key_channels), the sequence attended to; default `query`.
        causal: bool
            Whether keys after the query are hidden.
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
        """Attend to keys and values made by `keys_values`.

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

    def remember(self, memory: Tensor) -> dict[str, Tensor]:
        """Return keys and values; no keys without E1 and E3."""
        key, value = self.keys_values(memory)
        return {"value": value} if key is None else {"key": key, "value": value}

    def step(
        self,
        query: Tensor,
        kept: dict[str, Tensor],
        *,
        cross: bool = False,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
        query_start: int = 0,
        need_weights: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attend from the newest positions to all; few forms compute the weights."""
        key, value = kept.get("key"), kept["value"]
        options: dict[str, Any] = {
            "causal": causal, "key_padding_mask": key_padding_mask, "query_start": query_start
        }  # fmt: skip
        if not need_weights:
            return self.attend(query, key, value, **options), None
        weights = self.weights(query, key, value.shape[2], **options)
        return self.combine(weights, value, query.shape[1]), weights

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
