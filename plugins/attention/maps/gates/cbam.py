"""The convolutional block attention module: a gate for each channel, then one for each position.

Woo et al. 2018, https://arxiv.org/abs/1807.06521, equations (1) to (3):

    F'  = sigmoid(MLP(mean of F) + MLP(maximum of F)) * F       over positions
    F'' = sigmoid(f([maximum of F'; mean of F'])) * F'          over channels

with one hidden layer, and f a convolution of 7x7 with batch normalisation, as the authors have it
(https://github.com/Jongchan/attention-module), where the maximum comes first and the normalisation
follows its input slowly.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugins.attention.maps.gates.cost import units
from plugins.attention.maps.gates.opening import OPEN, constant

__all__ = ["CBAM"]


class CBAM(nn.Module):
    """Both gates of a feature map, one after the other; they start open.

    Parameters
    ----------
    in_channels: int
        C, channels in and out.
    reduction: int
        r; the hidden layer has C // r units, at least one.
    kernel: int
        Taps of the spatial gate along each axis; odd.
    """

    def __init__(self, in_channels: int, reduction: int = 16, kernel: int = 7) -> None:
        super().__init__()
        if kernel < 1 or kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and positive, got {kernel}")
        hidden = units(in_channels, reduction)
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, in_channels)
        )
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=0.01)
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as torch does, and both gates as constants near 1."""
        first, _, last = self.mlp
        first.reset_parameters()  # type: ignore[operator]
        self.conv.reset_parameters()
        constant(last, OPEN / 2)  # it is added twice
        constant(self.norm, OPEN)

    def gate(self, x: Tensor) -> Tensor:
        """Return the gates of the channels, (N, C), of a map (N, C, H, W)."""
        pooled = torch.stack([x.mean(dim=(2, 3)), x.amax(dim=(2, 3))])
        logits: Tensor = self.mlp(pooled).sum(dim=0)
        return logits.sigmoid()

    def mask(self, x: Tensor) -> Tensor:
        """Return the gates of the positions, (N, H, W), of a map whose channels are gated."""
        pooled = torch.cat([x.amax(dim=1, keepdim=True), x.mean(dim=1, keepdim=True)], dim=1)
        logits: Tensor = self.norm(self.conv(pooled))
        return logits.squeeze(1).sigmoid()

    def by_channel(self, x: Tensor) -> Tensor:
        """Return the map with its channels gated."""
        return x * self.gate(x)[..., None, None].to(x.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Gate a map (N, C, H, W)."""
        x = self.by_channel(x)
        return x * self.mask(x)[:, None].to(x.dtype)
