"""Generalized attention by torch's FlexAttention: what a user would write without our kernels.

Content is the product of queries and keys. The energies of position are tables of every query and
every key row or column, and the score function looks them up. On a GPU the function is compiled for
each shape.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import flex_attention

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.position import relative_sinusoid
from plugins.attention.kernels.maps.axis import WAVELENGTH

__all__ = ["FlexAttention2d"]


class FlexAttention2d(GeneralizedAttention2d):
    """Ours with FlexAttention between the projections; its arguments and weights are the same."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        torch.compiler.reset()  # after a few shapes of one function torch would compile no more
        self._compiled = torch.compile(flex_attention, dynamic=False)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        _, keys = self.subsample(x)
        value = self._heads(self.value_conv(keys))
        query = self._heads(self.query_conv(x)) if self.e1 or self.e2 else None
        key = self._heads(self.key_conv(keys)) if self.e1 or self.e3 else torch.zeros_like(value)
        content = self._content(query if self.e1 else None, "appr_bias", value, x)
        attend: Any = self._compiled if x.is_cuda else flex_attention
        score = self._score(query, value, x, keys) if self.e2 or self.e4 else None
        mixed = attend(content, key, value, score_mod=score, scale=1.0)
        mixed = mixed.transpose(2, 3).flatten(1, 2).unflatten(2, x.shape[2:])
        return self.gamma * self.proj_conv(mixed) + x

    def _score(self, query: Tensor | None, value: Tensor, x: Tensor, keys: Tensor) -> Any:
        """The score function, which adds the energies of position."""
        content = self._content(query if self.e2 else None, "geom_bias", value, x)
        content = content.unflatten(2, x.shape[2:])
        columns = keys.shape[3]
        rows_of_keys = self._encode(self.appr_geom_fc_y, x.shape[2], keys.shape[2])
        columns_of_keys = self._encode(self.appr_geom_fc_x, x.shape[3], columns)
        by_row = torch.einsum("nmhwd,mhkd->nmhwk", content, rows_of_keys).flatten(2, 3)
        by_column = torch.einsum("nmhwd,mwkd->nmhwk", content, columns_of_keys).flatten(2, 3)

        def score(energy: Tensor, n: Tensor, m: Tensor, q: Tensor, k: Tensor) -> Tensor:
            return energy + by_row[n, m, q, k // columns] + by_column[n, m, q, k % columns]

        return score

    def _heads(self, projected: Tensor) -> Tensor:
        """(N, M * d, H, W) to (N, M, H * W, d)."""
        return projected.flatten(2).unflatten(1, (self.heads, -1)).transpose(2, 3).contiguous()

    def _content(self, query: Tensor | None, name: str, value: Tensor, x: Tensor) -> Tensor:
        """Query, bias or their sum, (N, M, H * W, d); zeros without either."""
        size = (len(x), self.heads, x.shape[2] * x.shape[3], self.head_dim)
        content = value.new_zeros(()).expand(size) if query is None else query
        bias = getattr(self, name, None)
        if bias is not None:
            content = content + bias.to(content.dtype).view(self.heads, 1, self.head_dim)
        return content.contiguous()

    def _encode(self, projection: nn.Linear, queries: int, keys: int) -> Tensor:
        """Projected encoding of all offsets along one axis: (M, queries, keys, d)."""
        weight = projection.weight
        row = torch.arange(queries, device=weight.device)
        offset = row[:, None] - torch.arange(keys, device=weight.device) * self.kv_stride
        encoding = relative_sinusoid(offset, weight.shape[1], WAVELENGTH).to(weight.dtype)
        projected = projection(encoding) / math.sqrt(2)
        return projected.unflatten(-1, (self.heads, -1)).permute(2, 0, 1, 3)
