"""Deformable convolution over sequences, with linear interpolation between positions.

Dai et al. 2017, https://arxiv.org/abs/1703.06211; in the notation of Zhu et al. 2019 the weight of
key k for tap m of query q is the linear kernel G(k, q + p_m + w_m . x_q).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugins.attention.core.sequence import SequenceModule

__all__ = ["DeformableConv1d"]


class DeformableConv1d(SequenceModule):
    """Deformable convolution of a sequence, with linear interpolation between positions.

    The offset of a tap is linear in the content at the query alone, as in the formula above, so
    that nothing after the query is looked at. Offsets start at 0.

    Parameters
    ----------
    channels: int
        C, features in and out.
    kernel_size: int
        K taps; odd unless causal.
    causal: bool
        Taps start at and before the query instead of around it, and a tap that moves past the query
        stops at it.
    """

    is_mechanism = True

    def __init__(self, channels: int, kernel_size: int = 3, causal: bool = False) -> None:
        super().__init__()
        if kernel_size < 1 or (kernel_size % 2 == 0 and not causal):
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.channels, self.kernel_size, self.causal = channels, kernel_size, causal
        self.weight = nn.Parameter(torch.empty(channels, channels, kernel_size))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.offset_linear = nn.Linear(channels, kernel_size)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.offset_linear.weight)
        nn.init.zeros_(self.offset_linear.bias)

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Convolve (N, T, C); whether that is causal was decided when the module was made."""
        return self.convolve(query, key_padding_mask)

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
    ) -> tuple[Tensor, None]:
        """Convolve the newest positions; there are no weights over the whole sequence."""
        return self.convolve(kept["memory"], key_padding_mask, query_start), None

    def convolve(
        self, x: Tensor, key_padding_mask: Tensor | None = None, query_start: int = 0
    ) -> Tensor:
        """Convolve (N, T, C) to (N, T - query_start, C).

        Parameters
        ----------
        x: Tensor
            (N, T, C).
        key_padding_mask: Tensor, optional
            (N, T), True where `x` is padding, which is sampled as zeros, like everything beyond the
            ends.
        query_start: int
            First position to compute: in incremental decoding only the newest is wanted.
        """
        length, channels = x.shape[1:]
        offset = self.offset_linear(x[:, query_start:])  # (N, T', K)
        if key_padding_mask is not None:
            x = x.masked_fill(key_padding_mask.unsqueeze(-1), 0)
        query = torch.arange(query_start, length, device=x.device)
        before = self.kernel_size - 1 if self.causal else self.kernel_size // 2
        tap = torch.arange(self.kernel_size, device=x.device) - before
        position = query[None, :, None] + tap + offset
        if self.causal:
            position = torch.minimum(position, query[None, :, None].to(position.dtype))
        left = position.floor()
        fraction = (position - left).unsqueeze(-1)
        left = left.long()
        sampled = _take(x, left) * (1 - fraction) + _take(x, left + 1) * fraction
        kernel = self.weight.permute(2, 1, 0).reshape(self.kernel_size * channels, channels)
        return sampled.flatten(2) @ kernel + self.bias


def _take(x: Tensor, position: Tensor) -> Tensor:
    """Rows of `x` (N, T, C) at `position` (N, T', K), zeros beyond the ends: (N, T', K, C)."""
    length, channels = x.shape[1:]
    inside = (position >= 0) & (position < length)
    index = position.clamp(0, length - 1).flatten(1).unsqueeze(-1).expand(-1, -1, channels)
    rows = x.gather(1, index).view(*position.shape, channels)
    return rows * inside.unsqueeze(-1)
