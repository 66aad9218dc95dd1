"""Deformable convolution over sequences, with linear interpolation between positions.

Dai et al. 2017, https://arxiv.org/abs/1703.06211; in the notation of Zhu et al. 2019 the weight of
key k for tap m of query q is the linear kernel G(k, q + p_m + w_m . x_q).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.sequence import SequenceModule
from plugins.attention.kernels.constants import constant

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
        before = self.kernel_size - 1 if self.causal else self.kernel_size // 2
        # Half precision would round a position to a part of a step, from 256 on to whole steps.
        exact = torch.float64 if offset.dtype == torch.float64 else torch.float32
        centers = _centers(offset.device, query_start, length, self.kernel_size, before, exact)
        position = centers + offset
        if self.causal:
            # A whole position, where each offset begins, is between the two before it: the one
            # after may be hidden from the query, and must not even tell in which direction to go.
            position = position.clamp(max=centers[:, -1:])
            left = position.detach().ceil() - 1
        else:
            left = position.detach().floor()
        fraction = (position - left).to(x.dtype).flatten(1).unsqueeze(-1)
        # Two zeros at either end, so that beyond them a tap and its right neighbour see zeros too.
        rows = F.pad(x, (0, 0, 2, 2))
        index = (left.clamp(-2, length) + 2).long().flatten(1).unsqueeze(-1)
        index = index.expand(-1, -1, channels)
        sampled = torch.lerp(rows.gather(1, index), rows.gather(1, index + 1), fraction)
        sampled = sampled.unflatten(1, offset.shape[1:]).flatten(2)  # (N, T', K * C)
        kernel = self.weight.transpose(1, 2).flatten(1)
        return F.linear(sampled, kernel, self.bias)


@constant
def _centers(
    device: torch.device, start: int, length: int, taps: int, before: int, kind: torch.dtype
) -> Tensor:
    """Positions of the taps that do not move, (T', K)."""
    query = torch.arange(start, length, dtype=kind, device=device)
    tap = torch.arange(-before, taps - before, dtype=kind, device=device)
    return query[:, None] + tap
