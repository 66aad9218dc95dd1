"""Dynamic convolution: a kernel for each position, computed from the content at that position.

Wu et al. 2019, "Pay Less Attention with Lightweight and Dynamic Convolutions",
https://arxiv.org/abs/1901.10430; in the notation of Zhu et al. 2019 the weight of tap m is the
softmax over the taps of d_m . x_q, shared by the channels of a head.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugins.attention.core.closed_form import ClosedForm
from plugins.attention.kernels.taps import convolve2d
from plugins.attention.maps import cost

__all__ = ["DynamicConv2d"]


class DynamicConv2d(nn.Module):
    """Dynamic convolution over a feature map, as a residual block that starts as the identity.

    It is framed like ``GeneralizedAttention2d`` - value and output projection, gamma - so that the
    two differ only in how they compute the weights.

    Parameters
    ----------
    in_channels: int
        C, channels in and out.
    heads: int
        Kernels a position; divides C.
    kernel_size: int
        K taps along each axis; odd. Taps beyond the map see zeros.
    """

    is_mechanism = True

    def __init__(self, in_channels: int, heads: int = 8, kernel_size: int = 3) -> None:
        super().__init__()
        channels = in_channels
        if heads < 1 or channels % heads:
            raise ValueError(f"heads ({heads}) must divide channels ({channels})")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd and positive, got {kernel_size}")
        self.channels, self.heads, self.kernel_size = channels, heads, kernel_size
        self.weight_conv = nn.Conv2d(channels, heads * kernel_size**2, 1, bias=False)
        self.value_conv = nn.Conv2d(channels, channels, 1, bias=False)
        self.proj_conv = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise like the generalized attention block; gamma is 0."""
        for conv in (self.weight_conv, self.value_conv, self.proj_conv):
            nn.init.kaiming_uniform_(conv.weight, a=1)
        assert self.proj_conv.bias is not None
        nn.init.zeros_(self.proj_conv.bias)
        nn.init.zeros_(self.gamma)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve; `x` and the result are (N, C, H, W)."""
        out = convolve2d(self.kernels(x), self.value_conv(x))
        return self.gamma * self.proj_conv(out) + x

    def closed_form(self, height: int, width: int) -> ClosedForm:
        """Return the canonical cost on one map of that size."""
        return cost.dynamic(
            (height, width), self.channels, heads=self.heads, kernel_size=self.kernel_size
        )

    def kernels(self, x: Tensor) -> Tensor:
        """Weights of the taps at each position: (N, heads, K, K, H, W), 1 in sum over K x K."""
        taps = (self.kernel_size, self.kernel_size)
        weight: Tensor = self.weight_conv(x).unflatten(1, (self.heads, -1)).softmax(dim=2)
        return weight.unflatten(2, taps)
