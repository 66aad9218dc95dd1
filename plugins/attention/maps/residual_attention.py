"""Residual attention: a mask for each number of a map, from a look at larger and larger parts.

Wang et al. 2017, "Residual Attention Network for Image Classification",
https://arxiv.org/abs/1704.06904, equation (3): y = (1 + M(x)) x. The mask M between 0 and 1 comes
from a branch that halves the map a few times and enlarges it again, as in the authors' network
Attention-56 (https://github.com/fwang91/residual-attention-network): one unit at each halving, two
at the smallest map, a unit from each map to the one of the same size on the way up, and two
layers before the sigmoid.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.maps.gates.cost import MASK_REDUCTION, units
from plugins.attention.maps.gates.opening import OPEN, constant

__all__ = ["MaskBranch", "ResidualAttention2d", "ResidualUnit"]


class ResidualUnit(nn.Module):
    """A bottleneck whose normalisation and ReLU come before each convolution.

    He et al. 2016, https://arxiv.org/abs/1603.05027.

    Parameters
    ----------
    channels, out_channels: int
        C in and out, the same by default; a quarter of those out inside.
    stride: int
        Of the 3x3 convolution. If it is not 1, or the channels change, a convolution of what is
        normalised takes the place of the identity.
    """

    def __init__(self, channels: int, out_channels: int | None = None, stride: int = 1) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        inner = units(out, MASK_REDUCTION)
        self.layers = nn.Sequential(
            *_convolution(channels, inner, 1),
            *_convolution(inner, inner, 3, stride=stride),
            *_convolution(inner, out, 1),
        )
        changes = stride != 1 or channels != out
        self.shortcut = nn.Conv2d(channels, out, 1, stride, bias=False) if changes else None

    def forward(self, x: Tensor) -> Tensor:
        """Add the branch to a map (N, C, H, W)."""
        active = self.layers[:2](x)
        out: Tensor = self.layers[2:](active)
        return out + (x if self.shortcut is None else self.shortcut(active))


def _convolution(
    channels: int, out: int, kernel: int, stride: int = 1, bias: bool = False
) -> list[nn.Module]:
    conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=bias)
    return [nn.BatchNorm2d(channels), nn.ReLU(), conv]


class MaskBranch(nn.Module):
    """The mask M of a map, for each of its channels at each position.

    Parameters
    ----------
    channels: int
        C, channels in and out.
    levels: int
        How often the map is halved; in the paper 3, 2 and 1 at 56, 28 and 14 positions an axis.
    """

    def __init__(self, channels: int, levels: int = 1) -> None:
        super().__init__()
        if levels < 1:
            raise ValueError(f"levels must be positive, got {levels}")
        self.down = nn.ModuleList(ResidualUnit(channels) for _ in range(levels))
        self.bottom = ResidualUnit(channels)
        self.skip = nn.ModuleList(ResidualUnit(channels) for _ in range(levels - 1))
        self.up = nn.ModuleList(ResidualUnit(channels) for _ in range(levels - 1))
        self.head = nn.Sequential(
            *_convolution(channels, channels, 1), *_convolution(channels, channels, 1, bias=True)
        )
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise convolutions as those before a ReLU; the mask is then about 1/2."""
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()

    def forward(self, x: Tensor) -> Tensor:
        """Return the mask, between 0 and 1, of a map (N, C, H, W), in the same shape."""
        sizes, skipped = [x.shape[-2:]], []
        for level, unit in enumerate(self.down):
            x = unit(F.max_pool2d(x, 3, stride=2, padding=1))
            if level < len(self.skip):
                skipped.append(self.skip[level](x))
                sizes.append(x.shape[-2:])
        x = _enlarged(self.bottom(x), sizes.pop())
        for unit in self.up:
            x = _enlarged(unit(x + skipped.pop()), sizes.pop())
        logits: Tensor = self.head(x)
        return logits.sigmoid()


def _enlarged(x: Tensor, size: torch.Size) -> Tensor:
    # The outermost positions stay the outermost ones, as with the authors' layer.
    return F.interpolate(x, size=size, mode="bilinear", align_corners=True)


class ResidualAttention2d(nn.Module):
    """The attention as a block of a network; it starts near the identity.

    With the mask at 1/2 the map would be multiplied by 1.5, and there is one block in every
    residual block. Here the mask starts at 0.018.

    Parameters
    ----------
    channels, levels: int
        As of :class:`MaskBranch`.
    """

    def __init__(self, channels: int, levels: int = 1) -> None:
        super().__init__()
        self.mask = MaskBranch(channels, levels)
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise the branch, and its last layer as a constant."""
        self.mask.init_weights()
        constant(self.mask.head[-1], -OPEN)

    def forward(self, x: Tensor) -> Tensor:
        """Multiply a map (N, C, H, W) by 1 + M."""
        return x * (1 + self.mask(x).to(x.dtype))
