"""Criss-cross attention: each position attends to its row and its column, several times over.

Huang et al. 2019, "CCNet: Criss-Cross Attention for Semantic Segmentation",
https://arxiv.org/abs/1811.11721: x_q <- x_q + gamma * sum_k softmax_k(q . k) v_k over the H + W - 1
positions k in the row and the column of q. Once more with the same parameters, and every position
has received something of every other.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.maps.rows import rows_of

__all__ = ["CrissCross2d"]

REDUCTION = 8
"""C / D for the D features of queries and keys, as in the paper."""


class CrissCross2d(nn.Module):
    """The block over a feature map; it starts as the identity.

    Parameters
    ----------
    channels: int
        C, channels in and out; 8 at least.
    recurrences: int
        How often it attends, always with the same parameters.
    """

    def __init__(self, channels: int, recurrences: int = 2) -> None:
        super().__init__()
        self.recurrences = recurrences
        self.query_conv = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.key_conv = nn.Conv2d(channels, channels // REDUCTION, 1)
        self.value_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as mmcv's module does; gamma is 0."""
        for layer in (self.query_conv, self.key_conv, self.value_conv):
            layer.reset_parameters()
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        for _ in range(self.recurrences):
            x = self._attend(x, *self._weights(x))
        return x

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return what some positions (row, column) receive of each, (N, 1, queries, H, W).

        With one recurrence these are the weights. With more it is the product of the matrices of
        weights: the sum over the ways from a key to a query of the weights on each. It is 1 in sum,
        and leaves gamma and the residual connection out.
        """
        found = []
        for _ in range(self.recurrences):
            found.append(self._weights(x))
            x = self._attend(x, *found[-1])
        index = rows_of(x, queries)
        size = x.shape[-2:]
        reached = F.one_hot(index, size[0] * size[1]).to(found[0][0]).unflatten(1, size)
        reached = reached.expand(len(x), *reached.shape)
        with exactly(x):
            for column, row in reversed(found):
                along = torch.einsum("nqhw,nhwj->nqhj", reached, row)
                reached = along + torch.einsum("nqhw,nhwi->nqiw", reached, column)
        return reached.unsqueeze(1)

    def _weights(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the keys in the query's column (N, H, W, H) and in its row (N, H, W, W).

        The query is in both and counts in its row.
        """
        height = x.shape[2]
        query, key = self.query_conv(x), self.key_conv(x)
        with exactly(x):
            query, key = in_single(query), in_single(key)
            column = torch.einsum("nchw,nciw->nhwi", query, key)
            itself = torch.eye(height, dtype=torch.bool, device=x.device).unsqueeze(1)
            column = column.masked_fill(itself, -torch.inf)
            row = torch.einsum("nchw,nchj->nhwj", query, key)
            found = torch.cat([column, row], dim=3).softmax(dim=3)
        return found[..., :height], found[..., height:]

    def _attend(self, x: Tensor, column: Tensor, row: Tensor) -> Tensor:
        value = self.value_conv(x)
        column, row = column.to(value.dtype), row.to(value.dtype)
        with exactly(x):
            out = torch.einsum("nciw,nhwi->nchw", value, column)
            out = out + torch.einsum("nchj,nhwj->nchw", value, row)
        return self.gamma * out + x

    def extra_repr(self) -> str:
        """Show what distinguishes this block in a printed model."""
        return f"recurrences={self.recurrences}"
