"""Object context: a map beside what each position receives of those that are like it.

Yuan and Wang 2018, "OCNet: Object Context Network for Scene Parsing",
https://arxiv.org/abs/1809.00916 (its first version; later ones have interlaced attention), as in
its authors' code (https://github.com/openseg-group/OCNet.pytorch, ``oc_module``):

    context_q = W sum_k softmax_k(f(x_q) . f(x_k) / sqrt(D)) g(x_k)

with one function f for queries and keys: a 1x1 convolution, batch normalisation and a leaky ReLU. W
starts at 0. A 1x1 convolution of what stands side by side, normalised, is the result:

    base        [context; x]
    pyramid     [up(x); context within each block, for grids of 1, 2, 3 and 6 blocks an axis]
    asp         [context of pooled positions; 1x1 and dilated 3x3 convolutions of x]

Nothing is added to x, so that no form starts as the identity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.maps.blocks import GRIDS, blocks
from plugins.attention.maps.rows import rows_of

__all__ = ["AtrousContext2d", "BaseContext2d", "Context2d", "PyramidContext2d", "object_context"]

DROPOUT = 0.05
ATROUS_DROPOUT = 0.1
DILATIONS = (12, 24, 36)
POOLED = 2
"""Pixels an axis whose maxima the atrous form attends to."""
SLOPE = 0.01
"""Of the activation below 0, as in the authors' in-place batch normalisation."""


def convolution(channels: int, features: int, taps: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the size, with normalisation and activation."""
    padding = dilation * (taps // 2)
    return nn.Sequential(
        nn.Conv2d(channels, features, taps, padding=padding, dilation=dilation, bias=False),
        nn.BatchNorm2d(features),
        nn.LeakyReLU(SLOPE),
    )


class Context2d(nn.Module):
    """What the positions of a block receive of each other.

    Parameters
    ----------
    channels, out_channels: int
        C in and out.
    key_channels, value_channels: int
        Features of f and g.
    grid: int
        Blocks an axis; no position sees beyond its own.
    """

    def __init__(
        self,
        channels: int,
        out_channels: int,
        key_channels: int,
        value_channels: int,
        grid: int = 1,
    ) -> None:
        super().__init__()
        self.grid = grid
        self.key = convolution(channels, key_channels)
        self.value = nn.Conv2d(channels, value_channels, 1)
        self.out = nn.Conv2d(value_channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the context (N, out_channels, H, W) of a map (N, C, H, W)."""
        key, value = self.key(x), self.value(x)
        rows = []
        for down in blocks(x.shape[2], self.grid):
            row = []
            for along in blocks(x.shape[3], self.grid):
                mine, given = key[..., down, along], value[..., down, along]
                weights = self._weights(mine.flatten(2), mine.flatten(2))
                with exactly(x):
                    mean = given.flatten(2) @ weights.mT.to(given.dtype)
                row.append(mean.unflatten(2, given.shape[-2:]))
            rows.append(torch.cat(row, dim=3))
        out: Tensor = self.out(torch.cat(rows, dim=2))
        return out

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return the weights of some positions (row, column), (N, queries, H, W); 0 elsewhere."""
        key = self.key(x)
        query = key.flatten(2)[..., rows_of(x, queries)]
        found = x.new_zeros(len(x), len(queries), *x.shape[-2:])
        for number, (row, column) in enumerate(queries):
            down = next(b for b in blocks(x.shape[2], self.grid) if row < b.stop)
            along = next(b for b in blocks(x.shape[3], self.grid) if column < b.stop)
            there = key[..., down, along]
            weights = self._weights(query[..., number : number + 1], there.flatten(2))
            found[:, number, down, along] = weights[:, 0].unflatten(1, there.shape[-2:])
        return found

    def _weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Softmax over the keys in single precision at least, (N, queries, keys)."""
        with exactly(query):
            energy = in_single(query).mT @ in_single(key)
            return (energy / math.sqrt(key.shape[1])).softmax(dim=2)

    def extra_repr(self) -> str:
        """Show what distinguishes this block in a printed model."""
        return f"grid={self.grid}"


class _Form(nn.Module):
    """What the three forms have in common."""

    fuse: nn.Module

    def init_weights(self) -> None:
        """Initialise as torch does; a context starts at 0, as its authors have it."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
                module.reset_parameters()
        for module in self.modules():
            if isinstance(module, Context2d):
                nn.init.zeros_(module.out.weight)
                assert module.out.bias is not None
                nn.init.zeros_(module.out.bias)


class BaseContext2d(_Form):
    """The context of each position beside its content; C channels in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.context = Context2d(channels, channels, half, half)
        self.fuse = nn.Sequential(convolution(2 * channels, channels), nn.Dropout2d(DROPOUT))
        self.init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        out: Tensor = self.fuse(torch.cat([self.context(x), x], dim=1))
        return out

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return the weights of some positions (row, column), (N, 1, queries, H, W)."""
        return self.context.weights_at(x, queries).unsqueeze(1)


class PyramidContext2d(_Form):
    """Contexts within the blocks of four grids beside the content; C channels in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.contexts = nn.ModuleList(
            Context2d(channels, channels, channels // 2, channels, grid) for grid in GRIDS
        )
        self.up = convolution(channels, len(GRIDS) * channels)
        self.fuse = nn.Sequential(
            convolution(2 * len(GRIDS) * channels, channels), nn.Dropout2d(DROPOUT)
        )
        self.init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        contexts = [context(x) for context in self.contexts]
        out: Tensor = self.fuse(torch.cat([self.up(x), *contexts], dim=1))
        return out

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return the weights of some positions (row, column), (N, grids, queries, H, W)."""
        contexts: list[Context2d] = [*self.contexts]
        return torch.stack([each.weights_at(x, queries) for each in contexts], dim=1)


class AtrousContext2d(_Form):
    """A context of pooled positions beside dilated convolutions; C channels in and out."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.narrow = convolution(channels, half, 3)
        self.context = Context2d(half, half, half // 2, half)
        self.shown = convolution(half, half)
        self.branches = nn.ModuleList(
            [convolution(channels, half)]
            + [convolution(channels, half, 3, dilation) for dilation in DILATIONS]
        )
        self.fuse = nn.Sequential(convolution(5 * half, channels), nn.Dropout2d(ATROUS_DROPOUT))
        self.init_weights()

    def forward(self, x: Tensor) -> Tensor:
        """Attend; `x` and the result are (N, C, H, W)."""
        context = F.interpolate(
            self.context(self._pooled(x)), x.shape[-2:], mode="bilinear", align_corners=True
        )
        branches = [branch(x) for branch in self.branches]
        out: Tensor = self.fuse(torch.cat([self.shown(context), *branches], dim=1))
        return out

    def weights_at(self, x: Tensor, queries: Sequence[tuple[int, int]]) -> Tensor:
        """Return the weights of the pooled positions of `queries`, (N, 1, queries, H/2, W/2)."""
        rows_of(x, queries)  # refuses what is outside
        pooled = self._pooled(x)
        # The last row or column of an odd number is pooled with none: its neighbour stands for it.
        last = [length - 1 for length in pooled.shape[-2:]]
        halved = [tuple(map(min, (r // POOLED, c // POOLED), last)) for r, c in queries]
        return self.context.weights_at(pooled, halved).unsqueeze(1)  # type: ignore[arg-type]

    def _pooled(self, x: Tensor) -> Tensor:
        size = (min(POOLED, x.shape[2]), min(POOLED, x.shape[3]))
        return F.max_pool2d(self.narrow(x), size)


def object_context(channels: int, form: str) -> nn.Module:
    """Return one of the forms for a map of C channels: ``base``, ``pyramid`` or ``asp``."""
    forms = {"base": BaseContext2d, "pyramid": PyramidContext2d, "asp": AtrousContext2d}
    return forms[form](channels)
