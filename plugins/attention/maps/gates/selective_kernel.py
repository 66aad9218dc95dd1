"""Selective kernels: each channel chooses how far its convolution reaches.

Li et al. 2019, https://arxiv.org/abs/1903.06586, equations (1) to (6): branches convolve the map
with kernels of 3x3 that are dilated by 1, 2, ...; a softmax over the branches weighs each channel,

    U = sum_i U_i,   z = relu(norm(W mean(U))),   V = sum_i softmax_i(A_i z) U_i.

There each branch has batch normalisation and ReLU of its own. Here the module takes the place of a
convolution, whose normalisation and ReLU follow it in the network and serve all branches, so that
pretrained weights keep their meaning. And z is normalised over its features, not over the batch,
which may be one image.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.maps.gates.cost import SELECT_LEAST, units
from plugins.attention.maps.gates.opening import OPEN, constant

__all__ = ["SelectiveKernel2d"]


class SelectiveKernel2d(nn.Module):
    """Convolutions of several reaches instead of one, and their selection.

    The first branch is the convolution that is replaced, with its ``weight`` and ``bias``. At the
    start 0.98 of each channel comes from it.

    Parameters
    ----------
    in_channels, out_channels: int
        Channels in and out.
    kernel_size, stride, padding, dilation: int
        As of ``torch.nn.Conv2d``. Branch i has i times the dilation, and as much more padding as
        its reach is larger; `kernel_size` is odd and at least 3.
    bias: bool
        Whether the convolutions have biases.
    reduction: int
        r; z has C / r features, at least 32.
    branches: int
        Their number, at least 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        padding: int = 1,
        dilation: int = 1,
        bias: bool = False,
        *,
        reduction: int = 16,
        branches: int = 2,
    ) -> None:
        super().__init__()
        if kernel_size < 3 or kernel_size % 2 == 0:
            raise ValueError(
                f"a kernel that can be dilated has 3, 5, 7, ... taps an axis, not {kernel_size}"
            )
        self.shape = {"stride": stride, "padding": padding, "dilation": dilation}
        self.branches, self.out_channels = branches, out_channels
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.empty(out_channels)) if bias else None
        self.wider = nn.ModuleList(
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel_size,
                stride,
                padding + times * dilation * (kernel_size // 2),
                (times + 1) * dilation,
                bias=bias,
            )
            for times in range(1, branches)
        )
        hidden = units(out_channels, reduction, SELECT_LEAST)
        self.select = nn.Sequential(
            nn.Linear(out_channels, hidden, bias=False),
            nn.LayerNorm(hidden),
            nn.ReLU(),
            nn.Linear(hidden, branches * out_channels),
        )
        # The network would have had the first branch anyway.
        for added in (*self.wider, self.select):
            added.is_mechanism = True
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise kernels like those before a ReLU, and the selection by the first branch."""
        for weight in (self.weight, *(conv.weight for conv in self.wider)):
            assert isinstance(weight, Tensor)
            nn.init.kaiming_normal_(weight, mode="fan_out", nonlinearity="relu")
        for bias in (self.bias, *(conv.bias for conv in self.wider)):
            if isinstance(bias, Tensor):
                nn.init.zeros_(bias)
        first, norm, _, last = self.select
        for layer in (first, norm):
            layer.reset_parameters()  # type: ignore[operator]
        constant(last, 0)
        assert isinstance(last.bias, Tensor)
        nn.init.constant_(last.bias[: self.out_channels], OPEN + math.log(self.branches - 1))

    def convolved(self, x: Tensor) -> list[Tensor]:
        """Return what each branch makes of a map (N, C, H, W), (N, C', H', W')."""
        own = F.conv2d(x, self.weight, self.bias, **self.shape)
        return [own, *(conv(x) for conv in self.wider)]

    def gates(self, convolved: list[Tensor]) -> Tensor:
        """Return how much of each channel comes from each branch, (N, branches, C'); sum 1."""
        total = convolved[0]
        for other in convolved[1:]:
            total = total + other
        logits: Tensor = self.select(total.mean(dim=(2, 3)))
        return logits.unflatten(1, (self.branches, self.out_channels)).softmax(dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W) to (N, C', H', W')."""
        convolved = self.convolved(x)
        gates = self.gates(convolved)[..., None, None].to(convolved[0].dtype)
        out = gates[:, 0] * convolved[0]
        for branch, other in enumerate(convolved[1:], 1):
            out = out + gates[:, branch] * other
        return out
