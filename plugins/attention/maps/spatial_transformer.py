"""Spatial transformer: a network looks at a map, and the map is moved accordingly.

Jaderberg et al. 2015, https://arxiv.org/abs/1506.02025: a small network gives theta (2, 3), and
what comes to the position (x, y) of the result is what stood at theta [x, y, 1], with x and y from
-1 to 1 over the map (their equations (1) and (5)). Between positions it is interpolated; beyond the
border it is 0.

==============  ==========================================================
``affine``      theta itself
``attention``   [[s, 0, t_x], [0, s, t_y]], their equation (2)
``rotation``    by an angle about the middle, which turns a map of any
                shape without shearing it
==============  ==========================================================
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.tiles import in_single
from plugins.attention.maps.cost import LOCALISATION, START

__all__ = ["SpatialTransformer2d"]


class SpatialTransformer2d(nn.Module):
    """Moves a feature map or an image; it starts as the identity.

    The network that looks has two convolutions of 5x5 with stride 2, the means of 5x5 cells, and
    two layers. It is told which cell is where; a mean over all positions would not tell it.

    Parameters
    ----------
    in_channels: int
        C, channels in and out.
    transform: {"affine", "attention", "rotation"}
        What it can do.
    """

    def __init__(self, in_channels: int, transform: str = "affine") -> None:
        super().__init__()
        if transform not in START:
            raise ValueError(f"transform must be {', '.join(START)}; got {transform!r}")
        self.transform = transform
        kernel, channels, cells, hidden = LOCALISATION
        around = kernel // 2
        self.localise = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel, stride=2, padding=around),
            nn.ReLU(),
            nn.Conv2d(channels, channels, kernel, stride=2, padding=around),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(cells),
            nn.Flatten(),
            nn.Linear(channels * cells**2, hidden),
            nn.ReLU(),
            nn.Linear(hidden, len(START[transform])),
        )
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """Initialise as torch does, and the last layer by the identity."""
        *layers, last = self.localise
        for layer in layers:
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.reset_parameters()
        assert isinstance(last, nn.Linear)
        last.weight.zero_()
        last.bias.copy_(last.bias.new_tensor(START[self.transform]))

    def theta(self, x: Tensor) -> Tensor:
        """Return the transforms (N, 2, 3) of maps (N, C, H, W), in single precision at least."""
        with exactly(x):
            found = self.localise(in_single(x))
        if self.transform == "affine":
            theta: Tensor = found.unflatten(1, (2, 3))
            return theta
        if self.transform == "attention":
            scale, right, down = found.unbind(1)
            zero = torch.zeros_like(scale)
            rows = [scale, zero, right], [zero, scale, down]
        else:
            height, width = x.shape[-2:]
            cos, sin = found[:, 0].cos(), found[:, 0].sin()
            zero = torch.zeros_like(cos)
            # Both axes go from -1 to 1, however long they are.
            rows = [cos, -sin * height / width, zero], [sin * width / height, cos, zero]
        return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)

    def crop(self, x: Tensor) -> Tensor:
        """Return where the corners of the result stood, (N, 4, 2): x and y from 0 to 1.

        From the upper left one clockwise.
        """
        theta = self.theta(x)
        corners = theta.new_tensor([[-1, -1, 1], [1, -1, 1], [1, 1, 1], [-1, 1, 1]])
        with exactly(x):
            return (corners @ theta.mT + 1) / 2

    def forward(self, x: Tensor) -> Tensor:
        """Move a map (N, C, H, W)."""
        theta = self.theta(x)
        with exactly(x):
            # In half precision positions would be wrong by a pixel.
            grid = F.affine_grid(theta, list(x.shape), align_corners=False)
            return F.grid_sample(in_single(x), grid, align_corners=False).to(x.dtype)
