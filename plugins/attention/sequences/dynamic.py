"""Dynamic convolution over sequences: a kernel for each position, computed from the content there.

Wu et al. 2019, https://arxiv.org/abs/1901.10430.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.sequence import SequenceModule
from plugins.attention.kernels.taps import convolve

__all__ = ["DynamicConv1d", "GatedDynamicConv1d"]


class DynamicConv1d(nn.Module):
    """Dynamic convolution over a sequence, without projections before or after.

    Equals fairseq's ``DynamicConv`` with ``weight_softmax=True``, whose parameter name it shares.
    Taps beyond the sequence see zeros; the softmax is over all taps.

    Parameters
    ----------
    channels: int
        C.
    heads: int
        Kernels a position; divides C. The channels of a head share a kernel.
    kernel_size: int
        K taps; odd unless causal.
    causal: bool
        Taps at the query and before it (decoder) instead of around it (encoder).
    """

    is_mechanism = True

    def __init__(
        self, channels: int, heads: int = 8, kernel_size: int = 3, causal: bool = False
    ) -> None:
        super().__init__()
        _check(channels, heads, kernel_size, causal)
        self.channels, self.heads, self.kernel_size = channels, heads, kernel_size
        self.causal = causal
        self.before = kernel_size - 1 if causal else kernel_size // 2
        self.weight_linear = nn.Linear(channels, heads * kernel_size, bias=False)
        nn.init.xavier_uniform_(self.weight_linear.weight)

    def forward(
        self, x: Tensor, key_padding_mask: Tensor | None = None, query_start: int = 0
    ) -> Tensor:
        """Convolve (N, T, C) to (N, T - query_start, C).

        Parameters
        ----------
        x: Tensor
            (N, T, C).
        key_padding_mask: Tensor, optional
            (N, T), True where `x` is padding, which the taps see as zeros.
        query_start: int
            First position to compute: in incremental decoding only the newest is wanted.
        """
        weight = self.kernels(x[:, query_start:])
        if key_padding_mask is not None:
            x = x.masked_fill(key_padding_mask.unsqueeze(-1), 0)
        return convolve(weight, x, self.before, query_start)

    def kernels(self, x: Tensor) -> Tensor:
        """Weights of the taps at each position of (N, T, C): (N, T, heads, K), 1 in sum."""
        weight: Tensor = self.weight_linear(x).unflatten(-1, (self.heads, self.kernel_size))
        return weight.softmax(dim=-1)


class GatedDynamicConv1d(SequenceModule):
    """Dynamic convolution between two projections, the first of them gated.

    The frame is that of Wu et al. 2019. For self-attention only.

    Parameters
    ----------
    channels, heads, kernel_size, causal
        Those of :class:`DynamicConv1d`.
    """

    is_mechanism = True

    def __init__(
        self, channels: int, heads: int = 8, kernel_size: int = 3, causal: bool = False
    ) -> None:
        super().__init__()
        conv = DynamicConv1d(channels, heads, kernel_size, causal)
        self.in_proj = _linear(channels, 2 * channels)
        self.conv = conv
        self.out_proj = _linear(channels, channels)
        self.reach = kernel_size - 1

    def forward(
        self,
        query: Tensor,
        memory: Tensor | None = None,
        *,
        causal: bool = False,
        key_padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Convolve (N, T, C); whether that is causal was decided when the module was made."""
        kept = self.remember(query)
        return self.step(query, kept, key_padding_mask=key_padding_mask)[0]

    def remember(self, memory: Tensor) -> dict[str, Tensor]:
        """Return the gated projection."""
        return {"value": F.glu(self.in_proj(memory), dim=-1)}

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
        return self.out_proj(self.conv(kept["value"], key_padding_mask, query_start)), None


def _linear(features: int, out_features: int) -> nn.Linear:
    linear = nn.Linear(features, out_features)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def _check(channels: int, heads: int, kernel_size: int, causal: bool) -> None:
    if heads < 1 or channels % heads:
        raise ValueError(f"heads ({heads}) must divide channels ({channels})")
    if kernel_size < 1 or (kernel_size % 2 == 0 and not causal):
        raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
