"""Squeeze-and-excitation: a gate for each channel, from the means of all channels.

Hu et al. 2018, https://arxiv.org/abs/1709.01507, equations (2) to (4):

    y = sigmoid(W_2 relu(W_1 mean(x))) * x.
"""

from __future__ import annotations

from torch import Tensor, nn

from plugins.attention.maps.gates.cost import units
from plugins.attention.maps.gates.opening import OPEN, constant

__all__ = ["SqueezeExcite2d"]


class SqueezeExcite2d(nn.Module):
    """Gates of the channels of a feature map; they start open.

    Parameters
    ----------
    in_channels: int
        C, channels in and out.
    reduction: int
        r; the hidden layer has C // r units, at least one.
    """

    def __init__(self, in_channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = units(in_channels, reduction)
        self.mlp = nn.Sequential(
            nn.Linear(in_channels, hidden), nn.ReLU(), nn.Linear(hidden, in_channels)
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as torch does, and the last layer as a constant, so that gates are near 1."""
        first, _, last = self.mlp
        first.reset_parameters()  # type: ignore[operator]
        constant(last, OPEN)

    def gate(self, x: Tensor) -> Tensor:
        """Return the gates (N, C) of a map (N, C, H, W)."""
        logits: Tensor = self.mlp(x.mean(dim=(2, 3)))
        return logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate a map (N, C, H, W)."""
        return x * self.gate(x)[..., None, None].to(x.dtype)
