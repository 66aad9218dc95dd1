"""Gather-excite: a gate for each channel, from what is around a position.

Hu et al. 2018, https://arxiv.org/abs/1810.12348: the map is gathered into cells, one for `extent`
positions along each axis, or one for all; then the nearest cell gates each position,

    y = sigmoid(nearest(gather(x))) * x.

Their theta- gathers by average pooling and has no parameters. Their theta gathers by convolutions
of 3x3 and stride 2, each within its channel and with batch normalisation. Their theta+ puts the two
layers of squeeze-and-excitation behind them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.maps.gates.cost import EXCITE_REDUCTION, units
from plugins.attention.maps.gates.opening import OPEN, constant

__all__ = ["GatherExcite2d"]


class GatherExcite2d(nn.Module):
    """Gates of the channels at each cell of a feature map.

    With parameters they start open. Without, they are between 1/2 and 1 after a ReLU.

    Parameters
    ----------
    in_channels: int
        C, channels in and out.
    parameters: {"none", "some", "plus"}
        The paper's theta-, theta and theta+.
    extent: int
        e: positions from one cell to the next, a power of two; 0: one cell for all positions, only
        without parameters.
    """

    def __init__(self, in_channels: int, parameters: str = "none", extent: int = 0) -> None:
        super().__init__()
        if parameters not in ("none", "some", "plus"):
            raise ValueError(f"parameters must be none, some or plus, got {parameters!r}")
        if extent == 1 or extent.bit_count() > 1 or (extent == 0 and parameters != "none"):
            raise ValueError(f"extent {extent} does not go with parameters={parameters}")
        channels, self.extent, self.convolves = in_channels, extent, parameters != "none"
        self.gather, self.excite = nn.Sequential(), nn.Sequential()
        if self.convolves:
            for step in range(1, extent.bit_length()):
                if step > 1:
                    self.gather.append(nn.ReLU())
                conv = nn.Conv2d(channels, channels, 3, 2, 1, groups=channels, bias=False)
                self.gather.extend([conv, nn.BatchNorm2d(channels)])
        if parameters == "plus":
            hidden = units(channels, EXCITE_REDUCTION)
            self.excite.extend(
                [nn.Conv2d(channels, hidden, 1), nn.ReLU(), nn.Conv2d(hidden, channels, 1)]
            )
        self.init_weights()

    def init_weights(self) -> None:
        """Initialise as torch does, and the last layer as a constant, so that gates are near 1."""
        layers = [layer for layer in (*self.gather, *self.excite) if not isinstance(layer, nn.ReLU)]
        for layer in layers:
            layer.reset_parameters()
        if layers:
            constant(layers[-1], OPEN)

    def gate(self, x: Tensor) -> Tensor:
        """Return the gates of the cells, (N, C, H / e, W / e) rounded up, of (N, C, H, W)."""
        if self.convolves:
            cells = self.gather(x)
        elif self.extent:
            # A cell reaches to the middles of those beside it; there is nothing beyond the border.
            reach = self.extent - 1
            cells = F.avg_pool2d(
                x, 2 * reach + 1, self.extent, padding=reach, count_include_pad=False
            )
        else:
            cells = x.mean(dim=(2, 3), keepdim=True)
        logits: Tensor = self.excite(cells)
        return logits.sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """Gate a map (N, C, H, W)."""
        gate = self.gate(x).to(x.dtype)
        if self.extent:
            gate = F.interpolate(gate, size=x.shape[-2:])
        return x * gate
