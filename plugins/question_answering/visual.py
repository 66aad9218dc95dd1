"""What makes a feature map of an image, and what names the objects in its cells."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Convolutions", "Names", "cells_of", "with_corners"]


class Pair(nn.Module):
    """Two 3x3 convolutions, the first of stride 2; modules have the names of a residual block's."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, channels, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return a map of half the height and width."""
        x = self.bn1(self.conv1(x)).relu()
        return self.bn2(self.conv2(x)).relu()


@MODELS.register_module()
class Convolutions(BaseModule):
    """Stages of two convolutions each; every stage is half as large and twice as wide.

    Parameters
    ----------
    base_channels: int
        Of the first stage.
    stages: int
        How many.
    """

    def __init__(self, base_channels: int, stages: int) -> None:
        super().__init__()
        self.stages = stages
        inputs = 3
        for stage in range(stages):
            channels = base_channels * 2**stage
            self.add_module(f"layer{stage + 1}", nn.Sequential(Pair(inputs, channels)))
            inputs = channels

    def forward(self, images: Tensor) -> tuple[Tensor]:
        """Return the last map, (N, C, H, W), alone in a tuple as OpenMMLab's backbones do."""
        for stage in range(self.stages):
            images = self.get_submodule(f"layer{stage + 1}")(images)
        return (images,)


class Names(nn.ModuleList):
    """A linear layer for each attribute, in their order, that names it in each cell.

    Parameters
    ----------
    channels: int
        Of the map.
    attributes: mapping of str to int
        How many names each has; one more stands for nothing.
    """

    def __init__(self, channels: int, attributes: Mapping[str, int]) -> None:
        # No dict of modules, in which an attribute could not be called type.
        super().__init__(nn.Conv2d(channels, number + 1, 1) for number in attributes.values())

    def loss(self, features: Tensor, named: Tensor, of_image: Tensor) -> Tensor:
        """Return the sum of the attributes' cross-entropies.

        Each is a mean over the cells of an image and then over the questions: several processes
        have equally many of these, whatever their numbers of images.

        Parameters
        ----------
        features: Tensor
            (images, C, rows, columns).
        named: Tensor
            (images, attributes, rows, columns).
        of_image: Tensor
            (questions,), the number of each one's image.
        """
        losses = [
            F.cross_entropy(layer(features), truth, reduction="none").mean((1, 2))
            for layer, truth in zip(self, named.unbind(1), strict=True)
        ]
        return torch.stack(losses).sum(0)[of_image].mean()


def cells_of(features: Tensor, coordinates: bool) -> Tensor:
    """Return the positions of a map (N, C, H, W) as cells (N, H W, C), row by row.

    With `coordinates` two features more: column and row, from -1 to 1.
    """
    if coordinates:
        height, width = features.shape[-2:]
        rows, columns = (
            torch.linspace(-1, 1, number, dtype=features.dtype, device=features.device)
            for number in (height, width)
        )
        across, down = columns.expand(height, width), rows[:, None].expand(height, width)
        where = torch.stack([across, down]).expand(len(features), -1, -1, -1)
        features = torch.cat([features, where], dim=1)
    return features.flatten(2).transpose(1, 2)


def with_corners(features: Tensor, places: Tensor) -> Tensor:
    """Return features of boxes (N, S, C) and four more: left, top, right and bottom, from -1 to 1.

    `places` (N, S, 4) are these as shares of the image.
    """
    return torch.cat([features, (2 * places - 1).to(features.dtype)], dim=-1)
