"""Hard attention: cells whose features are long are kept, the others have no part in the answer.

Malinowski et al. 2018, "Learning Visual Question Answering by Bootstrapping Hard Attention",
https://arxiv.org/abs/1808.00300. With m_i = W_2 relu(W_1 v_i + W_q q + b) + c for each cell, its
presence is ||m_i||_2. HAN keeps the k cells of largest presence, AdaHAN those with
softmax(presence)_i >= 1 / S. What is kept is pooled: by its sum; by a non-local mean among the kept
(Wang et al. 2018, https://arxiv.org/abs/1711.07971) and then its sum; or by a relation network
(Santoro et al. 2017, https://arxiv.org/abs/1706.01427).

The choice has no gradient; the features that are kept have. What it is worth shows beside k cells
at random: others in each step of a training, and afterwards those that `scattered` says.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.kernels.shared import by_row
from plugins.attention.pairs.cost import RELATION_LAYERS
from plugins.attention.pairs.masks import last, softmax, without

__all__ = ["HardAttention"]


class Sum(nn.Module):
    """The sum of what is kept; it has nothing to learn."""

    def __init__(self, channels: int) -> None:
        super().__init__()

    def forward(self, cells: Tensor, dropped: Tensor) -> Tensor:
        """Return (N, C) for (N, S, C), of which those are left out for which (N, S) is true."""
        return without(cells, dropped).sum(dim=1)


class Pairwise(Sum):
    """Each that is kept becomes a mean of all that are kept, and these are added up.

    The weights are the softmax of q . k / sqrt(C), as of ``NonLocal2d``; there is no residual.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)

    def forward(self, cells: Tensor, dropped: Tensor) -> Tensor:
        """Return (N, C) for (N, S, C), of which those are left out for which (N, S) is true."""
        query, key, value = self.query(cells), self.key(cells), self.value(cells)
        with exactly(cells):
            energies = in_single(query) @ in_single(key).mT / math.sqrt(cells.shape[2])
        attended = softmax(energies, dropped[:, None]).to(value.dtype) @ value
        return super().forward(attended, dropped)


class Relation(nn.Module):
    """The sum over all ordered pairs of what a small network makes of both, side by side."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # W [a, b] is W_1 a + W_2 b: no pair is concatenated.
        self.first = nn.Linear(channels, channels, bias=False)
        self.second = nn.Linear(channels, channels)
        self.layers = nn.ModuleList(
            nn.Linear(channels, channels) for _ in range(RELATION_LAYERS - 1)
        )

    def forward(self, cells: Tensor, dropped: Tensor) -> Tensor:
        """Return (N, C) for (N, S, C), of which those are left out for which (N, S) is true."""
        pairs = (self.first(cells)[:, :, None] + self.second(cells)[:, None]).relu()
        for layer in self.layers:
            pairs = layer(pairs).relu()
        either = dropped[:, :, None] | dropped[:, None]
        return without(pairs.flatten(1, 2), either.flatten(1)).sum(dim=1)


POOLING = {"sum": Sum, "pairwise": Pairwise, "relation": Relation}


def scattered(presence: Tensor) -> Tensor:
    """Return a whole number for each cell, (N, S), that its place and the longest cell's decide.

    They look random, and one set of cells for all images would be a lucky one or not. But neither
    the batch nor what else was drawn changes them, and rounding does only where two are longest.
    It is a hash of 32 bits, https://github.com/skeeto/hash-prospector.
    """
    bits = 2**32 - 1
    place = torch.arange(1, presence.shape[1] + 1, device=presence.device)
    number = place + (presence.argmax(dim=1, keepdim=True) << 16)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        number = ((number ^ (number >> shift)) * factor) & bits
    return number ^ (number >> 16)


class HardAttention(nn.Module):
    """Pools those cells whose features, fused with the question's, are longest.

    Parameters
    ----------
    channels: int
        C, features of the question and of the result.
    key_channels: int
        Features of a cell.
    cells: int
        How many are kept, all if there are fewer; 0: as many as weigh no less than the mean.
    pooling: {"sum", "pairwise", "relation"}
        What becomes of the kept.
    layers: int
        Matrices from a cell to its m; the question comes in at the first.
    select: {"norm", "random"}
        By what they are kept; ``random`` needs a number of cells.

    Attributes
    ----------
    cells_kept: Tensor, optional
        (N,), how many were kept of each image in the latest pass.
    """

    shares_memory = True
    cells_kept: Tensor | None = None

    def __init__(
        self,
        channels: int,
        key_channels: int,
        *,
        cells: int = 16,
        pooling: str = "sum",
        layers: int = 2,
        select: str = "norm",
    ) -> None:
        super().__init__()
        self.cells, self.select = cells, select
        self.key = nn.Linear(key_channels, channels)
        self.query = nn.Linear(channels, channels, bias=False)
        self.fuse = nn.ModuleList(nn.Linear(channels, channels) for _ in range(layers - 1))
        self.pool = POOLING[pooling](channels)

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
        fused = self._fused(query, memory, query_padding_mask, memory_rows)
        candidates, kept = self._choose(self._presence(fused, key_padding_mask))
        self.cells_kept = kept.sum(dim=1)
        chosen = fused.take_along_dim(candidates[..., None], dim=1)
        out: Tensor = self.pool(chosen, ~kept)
        return out

    def weights(
        self,
        query: Tensor,
        memory: Tensor,
        key_padding_mask: Tensor | None = None,
        query_padding_mask: Tensor | None = None,
        memory_rows: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the presence of the cells, and 1 for the kept, 0 for the others; both (N, S)."""
        fused = self._fused(query, memory, query_padding_mask, memory_rows)
        presence = self._presence(fused, key_padding_mask)
        candidates, kept = self._choose(presence)
        mask = torch.zeros_like(presence).scatter(1, candidates, kept.to(presence.dtype))
        return presence.clamp(min=0), mask

    def _fused(
        self, query: Tensor, memory: Tensor, hidden: Tensor | None, rows: Tensor | None
    ) -> Tensor:
        """m_i, (N, S, C)."""
        question = self.query(last(query, hidden))
        fused: Tensor = by_row(self.key(memory), rows) + question[:, None]
        for layer in self.fuse:
            fused = layer(fused.relu())
        return fused

    def _presence(self, fused: Tensor, hidden: Tensor | None) -> Tensor:
        """||m_i||, (N, S), and -inf where there is padding."""
        presence = torch.linalg.vector_norm(in_single(fused.detach()), dim=2)
        return presence if hidden is None else presence.masked_fill(hidden, -torch.inf)

    def _choose(self, presence: Tensor) -> tuple[Tensor, Tensor]:
        """Return numbers of cells, and which of these are kept; both (N, candidates).

        The number of candidates depends on no data, so that the module can be compiled.
        """
        real = presence != -torch.inf  # NaN is kept, so that it shows
        if self.cells:
            order = presence
            if self.select == "random":
                drawn = torch.rand_like(presence) if self.training else scattered(presence)
                order = drawn.masked_fill(~real, -1)
            candidates = order.topk(min(self.cells, presence.shape[1]), dim=1).indices
            return candidates, real.gather(1, candidates)
        share = softmax(presence, ~real)
        number = real.sum(dim=1, keepdim=True).clamp(min=1)
        every = torch.arange(presence.shape[1], device=presence.device).expand_as(presence)
        return every, real & ~(share < 1 / number)

    def extra_repr(self) -> str:
        """Show what distinguishes this module in a printed model."""
        return f"cells={self.cells}, select={self.select}"
