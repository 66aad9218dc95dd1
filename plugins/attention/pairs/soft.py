"""Stacked attention: the question looks at the cells, learns from them, and looks again.

Yang et al. 2016, "Stacked Attention Networks for Image Question Answering",
https://arxiv.org/abs/1511.02274, equations (12) to (21): with v_i = tanh(W_I f_i + b) for each cell
and u the question, each hop is

    h_i = tanh(W_v v_i + W_q u + b)
    p   = softmax_i(w . h_i)
    u  <- u + sum_i p_i v_i

The authors' code (https://github.com/zcyang/imageqa-san) differs: h_i = tanh(W_v v_i + c) +
tanh(W_q u + b), and the energies are tanh(w . h_i + d), so that no weight is more than e^2 times
another.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugins.attention.kernels.shared import by_row
from plugins.attention.pairs.masks import last, softmax

__all__ = ["SoftAttention"]


class Hop(nn.Module):
    """The weights of one hop, as the paper has them."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.key = nn.Linear(channels, inner, bias=False)
        self.query = nn.Linear(channels, inner)
        self.score = nn.Linear(inner, 1, bias=False)

    def forward(self, cells: Tensor, question: Tensor, rows: Tensor | None) -> Tensor:
        """Return energies (N, S) for a question (N, C) of its row of cells (M, S, C)."""
        hidden = (by_row(self.key(cells), rows) + self.query(question)[:, None]).tanh()
        energies: Tensor = self.score(hidden)
        return energies.squeeze(-1)


class BoundedHop(nn.Module):
    """The weights of one hop, as the authors' code has them."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.key = nn.Linear(channels, inner)
        self.query = nn.Linear(channels, inner)
        self.score = nn.Linear(inner, 1)

    def forward(self, cells: Tensor, question: Tensor, rows: Tensor | None) -> Tensor:
        """Return energies (N, S) for a question (N, C) of its row of cells (M, S, C)."""
        hidden = by_row(self.key(cells).tanh(), rows) + self.query(question).tanh()[:, None]
        energies: Tensor = self.score(hidden)
        return energies.squeeze(-1).tanh()


HOPS = {"paper": Hop, "code": BoundedHop}


class SoftAttention(nn.Module):
    """Pools cells by the weights of a softmax, once or several times.

    Parameters
    ----------
    channels: int
        C, features of the question and of the result.
    key_channels: int
        Features of a cell.
    hops: int
        How often the cells are looked at, each time with weights of its own.
    reduction: int
        C to one feature of h.
    form: {"paper", "code"}
        Whose energies.
    """

    shares_memory = True

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        hops: int = 1,
        reduction: int = 2,
        form: str = "paper",
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(key_channels, channels)
        self.hops = nn.ModuleList(HOPS[form](channels, channels // reduction) for _ in range(hops))

    def forward(
        self,
        query: Tensor,
        memory: Tensor,
        *,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return (N, C) for (N, T, C), whose last one is the question, and (N, S, key_channels).

        With `memory_rows` (N,) the latter are (M, S, key_channels), and these say which are whose.
        """
        return self._attend(query, memory, key_padding_mask, query_padding_mask, memory_rows)[0]

    def weights(
        self,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return the weights of each hop, (N, hops, 1, S)."""
        weights = self._attend(query, memory, key_padding_mask, query_padding_mask, memory_rows)[1]
        return torch.stack(weights, dim=1)

    def energies(
        self,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> Tensor:
        """Return what the softmax of the last hop is of, (N, S), without the mask."""
        cells = self.embed(memory).tanh()
        question = last(query, query_padding_mask)
        question, _ = self._ask(self.hops[:-1], cells, question, key_padding_mask, memory_rows)
        found: Tensor = self.hops[-1](cells, question, memory_rows)
        return found

    def _attend(
        self,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None,
        query_padding_mask: Tensor | None,
        rows: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the result, and the weights (N, 1, S) of each hop."""
        cells = self.embed(memory).tanh()
        question = last(query, query_padding_mask)
        return self._ask(self.hops, cells, question, key_padding_mask, rows)

    @staticmethod
    def _ask(
        hops: nn.ModuleList,
        cells: Tensor,
        question: Tensor,
        hidden: Tensor | None,
        rows: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the question (N, C) after these hops, and the weights (N, 1, S) of each."""
        own, seen = by_row(cells, rows), []
        for hop in hops:
            weights = softmax(hop(cells, question, rows), hidden)[:, None]
            question = question + (weights.to(own.dtype) @ own).squeeze(1)
            seen.append(weights)
        return question, seen
