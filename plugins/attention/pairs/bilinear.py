"""Bilinear attention: one softmax over all pairs of a word and a cell.

Kim et al. 2018, "Bilinear Attention Networks", https://arxiv.org/abs/1805.07932, equations (5) to
(11), with the layers of the authors' code (https://github.com/jnhwkim/ban-vqa). For cells y_s of an
image and words x_t of a question, and for each glimpse g,

    A_g = softmax over all t, s of h_g . (relu(U y_s) * relu(W x_t))
    j_g = sum_ts A_g(t, s) relu(U_g y_s) * relu(W_g x_t)

All A_g come from the words as they are. The glimpses are joined by ``residual``: x_t <- x_t + P_g
j_g for all words, which the next glimpse sees, and at last the sum of the words; by ``sum``: the
sum of P_g j_g; or by ``concatenation``: all P_g j_g side by side, each with C / G features.

Every layer is weight-normalised, with one gain for the whole of its matrix. Padding counts neither
among the cells nor among the words; the authors' code lets words of padding count. In training
that code drops features: `DROPPED` of what comes into each layer, and `DROPPED_CELLS` of relu(U y).
Queries that share cells share what is dropped of these before a layer, but each has its own of
relu(U y). In the authors' code questions share neither, and phrases of a sentence both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.kernels.shared import by_row
from plugins.attention.pairs.cost import RANK
from plugins.attention.pairs.masks import hide, last, softmax, without

__all__ = ["BilinearAttention", "CoAttention", "SingleAttention"]

WHOLE = -1
"""The dimension by which torch means none: a norm is that of the whole matrix."""

DROPPED, DROPPED_CELLS = 0.2, 0.5


def normalised(
    features: int, outputs: int, *, bias: bool = True, dropout: bool = False
) -> nn.Module:
    """A linear layer whose weight is g V / ||V|| for one number g."""
    layer = weight_norm(nn.Linear(features, outputs, bias=bias), dim=WHOLE)
    return nn.Sequential(nn.Dropout(DROPPED), layer) if dropout else layer


class Glimpse(nn.Module):
    """The layers of one glimpse; P_g has `outputs` features."""

    def __init__(self, channels: int, key_channels: int, outputs: int, dropout: bool) -> None:
        super().__init__()
        self.key = normalised(key_channels, channels, dropout=dropout)
        self.query = normalised(channels, channels, dropout=dropout)
        self.out = normalised(channels, outputs, dropout=dropout)

    def forward(self, words: Tensor, cells: Tensor, weights: Tensor, rows: Tensor | None) -> Tensor:
        """Return P_g j_g, (N, outputs), by weights (N, T, S)."""
        told, asked = by_row(self.key(cells).relu(), rows), self.query(words).relu()
        joint = (weights.to(told.dtype) @ told * asked).sum(dim=1)
        out: Tensor = self.out(joint)
        return out


class BilinearAttention(nn.Module):
    """Pools words and cells together, by weights of their pairs.

    Parameters
    ----------
    channels: int
        C, features of a word and of the result.
    key_channels: int
        Features of a cell.
    glimpses: int
        G.
    joint: {"residual", "sum", "concatenation"}
        How glimpses are joined. For the last, G divides C.
    dropout: bool
        Whether features are dropped in training, as the authors' code does.
    """

    shares_memory = True

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        glimpses: int = 1,
        joint: str = "residual",
        dropout: bool = False,
    ) -> None:
        super().__init__()
        self.joint = joint
        rank = RANK * channels
        self.key = normalised(key_channels, rank, dropout=dropout)
        self.query = normalised(channels, rank, dropout=dropout)
        self.drop_cells = nn.Dropout(DROPPED_CELLS if dropout else 0)
        score = nn.Linear(rank, glimpses, bias=False)  # a bias is no matter to a softmax
        nn.init.normal_(score.weight)  # as in the authors' code
        self.score = weight_norm(score, dim=WHOLE)
        outputs = channels // glimpses if joint == "concatenation" else channels
        self.glimpses = nn.ModuleList(
            Glimpse(channels, key_channels, outputs, dropout) for _ in range(glimpses)
        )

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return (N, C) for words (N, T, C) and cells (N, S, key_channels).

        With `memory_rows` (N,) cells are (M, S, key_channels), and these say which are whose.
        """
        masks = key_padding_mask, query_padding_mask
        return self.by_first(query, memory, *masks, (len(self.glimpses),), memory_rows)[0]

    def by_first(
        self,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None,
        query_padding_mask: Tensor | None,
        numbers: Sequence[int],
        memory_rows: Tensor | None = None,
    ) -> list[Tensor]:
        """Return what the first so many glimpses give, (N, C) for each of the `numbers`.

        Side by side, those that are left out are 0.
        """
        words, hidden = self.read(query, query_padding_mask)
        weights = self._weights(words, memory, key_padding_mask, hidden, memory_rows).unbind(1)
        found: list[Tensor] = []
        joined = []
        for number, (glimpse, by) in enumerate(zip(self.glimpses, weights, strict=True), 1):
            found.append(glimpse(words, memory, by, memory_rows))
            if self.joint == "residual":
                words = words + found[-1][:, None]
            if number in numbers:
                joined.append(self._join(words, hidden, found))
        return joined

    def _join(self, words: Tensor, hidden: Tensor | None, found: list[Tensor]) -> Tensor:
        if self.joint == "residual":
            return without(words, hidden).sum(dim=1)
        if self.joint == "sum":
            return torch.stack(found).sum(dim=0)
        absent = [torch.zeros_like(found[0])] * (len(self.glimpses) - len(found))
        return torch.cat([*found, *absent], dim=1)

    def weights(
        self,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return the weights of each glimpse, (N, G, T, S), each 1 in sum over words and cells."""
        words, hidden = self.read(query, query_padding_mask)
        return self._weights(words, memory, key_padding_mask, hidden, memory_rows)

    def read(self, query: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return what takes part of the question: all words, and which of them are padding."""
        return query, hidden

    def energies(self, words: Tensor, cells: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return what the softmax is of, (N, G, T, S), without masks, for words that are read."""
        asked = self.query(words).relu()
        told = self.drop_cells(by_row(self.key(cells).relu(), rows))
        with exactly(asked):
            scored = in_single(asked)[:, None] * in_single(self.score.weight)[:, None]
            return (scored.flatten(1, 2) @ in_single(told).mT).unflatten(1, scored.shape[1:3])

    def _weights(
        self,
        words: Tensor,
        cells: Tensor,
        cells_hidden: Tensor | None,
        hidden: Tensor | None,
        rows: Tensor | None,
    ) -> Tensor:
        energies = self.energies(words, cells, rows)
        if cells_hidden is not None:
            energies = hide(energies, cells_hidden[:, None, None])
        if hidden is not None:
            energies = hide(energies, hidden[:, None, :, None])
        return energies.flatten(2).softmax(dim=-1).view_as(energies)


class SingleAttention(BilinearAttention):
    """The same for one vector, the question's last word: a softmax over the cells alone.

    Kim et al. 2017, "Hadamard Product for Low-rank Bilinear Pooling",
    https://arxiv.org/abs/1610.04325.
    """

    def read(self, query: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the last word alone, (N, 1, C)."""
        return last(query, hidden)[:, None], None


class CoAttention(BilinearAttention):
    """The same for one vector, a mean of the words: a softmax over words, then one over cells.

    The words are weighted by themselves, as in Yu et al. 2017, "Multi-modal Factorized Bilinear
    Pooling with Co-Attention Learning", https://arxiv.org/abs/1708.01471: by the softmax over t of
    w . relu(V x_t + b).
    """

    def __init__(
        self, channels: int, key_channels: int, *, dropout: bool = False, **options: Any
    ) -> None:
        super().__init__(channels, key_channels, dropout=dropout, **options)
        inner = max(1, channels // 2)
        self.word = normalised(channels, inner, dropout=dropout)
        self.word_score = normalised(inner, 1, bias=False, dropout=dropout)

    def word_weights(self, query: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Return the weights of the words, (N, T)."""
        energies: Tensor = self.word_score(self.word(query).relu())
        return softmax(energies.squeeze(-1), hidden)

    def read(self, query: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return the mean of the words, (N, 1, C)."""
        return self.word_weights(query, hidden)[:, None].to(query.dtype) @ query, None
