"""The modules of `guest.mechanisms`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate

from plugins.attention.core.sequence import SequenceModule


class Excitation(nn.Module):
    """From means to gates; keeps the mean gate, for the loss."""

    def __init__(self, channels: int, ratio: int) -> None:
        super().__init__()
        hidden = max(1, channels // ratio)
        layers = nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid()
        self.layers = nn.Sequential(*layers)
        self.mean: Tensor | None = None

    def forward(self, means: Tensor) -> Tensor:
        gates: Tensor = self.layers(means)
        self.mean = gates.mean()
        return gates


class Sparse(nn.Module):
    """What both gates add to the task's loss."""

    training_step: int = 0
    training_steps: int | None = None

    def __init__(self, channels: int, ratio: int, sparsity: float) -> None:
        super().__init__()
        self.excitation, self.sparsity = Excitation(channels, ratio), sparsity

    def own_loss(self) -> Tensor | None:
        mean = self.excitation.mean
        if not self.sparsity or mean is None:
            return None
        share = (self.training_step + 1) / self.training_steps if self.training_steps else 1.0
        return self.sparsity * share * mean


class MapGate(Sparse):
    def gate(self, x: Tensor) -> Tensor:
        """Return (N, C) of (N, C, H, W)."""
        gates: Tensor = self.excitation(x.mean(dim=(2, 3)))
        return gates

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gate(x)[..., None, None]


class SequenceGate(Sparse, SequenceModule):
    def gate(
        self, x: Tensor, causal: bool = False, key_padding_mask: Tensor | None = None
    ) -> Tensor:
        """Return (N, T, C) of (N, T, C) where the past alone is seen, else (N, 1, C)."""
        real = x.new_ones(x.shape[:2]) if key_padding_mask is None else (~key_padding_mask).to(x)
        total, number = x * real[..., None], real[..., None]
        if causal:
            mean = total.cumsum(1) / number.cumsum(1).clamp(min=1)
        else:
            mean = total.sum(1, keepdim=True) / number.sum(1, keepdim=True)
        gates: Tensor = self.excitation(mean)
        return gates

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        if memory is not None:
            return query * self.gate(memory, False, key_padding_mask)
        return query * self.gate(query, causal, key_padding_mask)


class PyramidPooling(nn.Module):
    def __init__(self, channels: int, bins: Sequence[int]) -> None:
        super().__init__()
        self.bins = bins
        each = channels // len(bins)
        self.branches = nn.ModuleList(nn.Conv2d(channels, each, 1) for _ in bins)
        self.project = nn.Conv2d(channels + each * len(bins), channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        size, found = x.shape[-2:], [x]
        for bins, branch in zip(self.bins, self.branches, strict=True):
            means = branch(adaptive_avg_pool2d(x, bins)).relu()
            found.append(interpolate(means, size, mode="bilinear", align_corners=False))
        out: Tensor = self.project(torch.cat(found, dim=1))
        return out.relu()

    def weights(self, height: int, width: int, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return what a position counts in the mean that a query is given.

        (1, branches, queries, H, W).
        """
        keys = torch.eye(height * width).unflatten(1, (height, width))[None]
        found = []
        for bins in self.bins:
            means = adaptive_avg_pool2d(keys, bins)
            seen = interpolate(means, (height, width), mode="bilinear", align_corners=False)[0]
            found.append(torch.stack([seen[:, row, column] for row, column in queries]))
        return torch.stack(found).unflatten(2, (height, width))[None]


class LowRankAttention(nn.Module):
    def __init__(self, channels: int, key_channels: int, rank: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, rank, bias=False)
        self.key = nn.Linear(key_channels, rank, bias=False)
        self.score = nn.Parameter(torch.full((rank,), rank**-0.5))
        self.out = nn.Linear(rank, channels, bias=False)

    def forward(
        self, query: Tensor, memory: Tensor, key_padding_mask: Tensor | None = None
    ) -> Tensor:
        asked, told = self.query(query), self.key(memory)
        out: Tensor = self.out(asked * (self._weights(asked, told, key_padding_mask) @ told))
        return out

    def weights(self, query: Tensor, memory: Tensor) -> Tensor:
        """Return (N, T, S), adding up to 1 over S."""
        return self._weights(self.query(query), self.key(memory), None)

    def _weights(self, asked: Tensor, told: Tensor, hidden: Tensor | None) -> Tensor:
        energy = (asked * self.score) @ told.mT
        if hidden is not None:
            energy = energy.masked_fill(hidden[:, None], -torch.inf)
        return energy.softmax(-1)
