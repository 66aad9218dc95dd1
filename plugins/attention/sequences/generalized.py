"""Generalized attention over sequences: the same four energies as over feature maps.

Position enters by sinusoids of the offset, as in Transformer-XL (Dai et al. 2019,
https://arxiv.org/abs/1901.02860). All energies are divided by sqrt(d). `1000` is then the
Transformer's multi-head attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from plugins.attention.kernels.sequences.block import Block1d
from plugins.attention.kernels.sequences.energies import Energies, score_of_key
from plugins.attention.kernels.sequences.forms import form_of, pool
from plugins.attention.kernels.sequences.projections import (
    Projected,
    linear,
    project,
    project_query,
    score_of_memory,
)
from plugins.attention.kernels.sequences.visible import Visible
from plugins.attention.kernels.shared import by_row

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

    shares_memory = True

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
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
        memory_rows: Tensor, optional
            (N,), where several queries have one row of `memory`: its number.

        Returns
        -------
        Tensor
            (N, T, C).
        """
        memory = query if memory is None else memory
        visible = self._visible(query, memory.shape[1], causal, key_padding_mask)
        if self.terms in ("0000", "0010") and visible.reaches_all:
            score = score_of_memory(self, memory)
            score = None if score is None else by_row(score, memory_rows)
            memory = by_row(memory, memory_rows)
            pooled = pool(score, memory, self.v_proj, key_padding_mask, self.heads)
            return self.out_proj(pooled).expand(-1, query.shape[1], -1)
        return self._attend(project(self, query, memory, memory_rows), query, visible)

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
        """Attend to keys and values made by ``keys_values``.

        `query_start` is the position of the first query: in incremental decoding the number of
        steps before this one. The other arguments are those of :meth:`forward`.
        """
        visible = self._visible(query, value.shape[2], causal, key_padding_mask, query_start)
        score = score_of_key(self, key)
        return self._attend(
            Projected(project_query(self, query), key, score, value), query, visible
        )

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
        energies = self._energies(query, key, visible)
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
        return self._combine(weights, value, query), weights

    def _combine(self, weights: Tensor, value: Tensor, query: Tensor) -> Tensor:
        return self._join(weights.to(value.dtype) @ value, query)

    def energy(self, query: Tensor, key: Tensor | None, keys: int, query_start: int = 0) -> Tensor:
        """Sum of the energies that are on, without masks: (N or 1, M, T or 1, S).

        A dimension is 1 where the energies do not vary along it.
        """
        visible = Visible(query.shape[1], keys, query_start)
        energies = self._energies(query, key, visible)
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

    def _energies(self, query: Tensor, key: Tensor | None, visible: Visible) -> Energies:
        heads, score = project_query(self, query), score_of_key(self, key)
        return Energies.of(self, heads, key, score, visible.offsets())

    def _attend(self, projected: Projected, query: Tensor, visible: Visible) -> Tensor:
        heads, key, score, value = projected
        form = form_of(self.terms, visible, value.device)
        energies = Energies.of(self, heads, key, score, form.offsets(visible))
        return self._join(form.compute(energies, value, visible), query)

    def _join(self, attended: Tensor, query: Tensor) -> Tensor:
        """Project (N, M, T or 1, d) to (N, T, C), which lies in memory as the query does."""
        rows = attended.transpose(1, 2).flatten(2)
        if not query.is_contiguous():
            rows = rows.transpose(0, 1).contiguous().transpose(0, 1)
        out = linear(rows, self.out_proj.weight, self.out_proj.bias)
        return out.expand(-1, query.shape[1], -1)
