"""Cluttered digits: name the white digit beside two black ones, on an aerial photo.

All three are handwritten and of different classes, so that a model must find the white one to name
it: who reads all three but cannot tell which counts is right a third of the time. Digits and photo
are real, their combination is not.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.classification.data.layout import write_boxes, write_classes
from plugins.contracts.dataset import Card
from plugins.openmmlab.data.composing import (
    BLACK,
    DIGITS,
    SOURCES,
    WHITE,
    Digit,
    compose,
    part,
    read_parts,
)
from plugins.openmmlab.data.handwriting import CLASSES, scaled

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CARD", "IMAGES", "SIDE", "SOURCES", "prepare"]

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
BLACK_DIGITS = 2


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
    strips, digits = read_parts(sources)
    boxes = {}
    for split, images in IMAGES.items():
        progress(f"composing {images} {split} images")
        rng = random.Random(SEEDS[split])
        pools = [part(known, *DIGITS[split]) for known in digits]
        for name in CLASSES:
            (out / split / name).mkdir(parents=True)
        for number in range(images):
            label = number % len(CLASSES)
            image, (box, *_) = compose(rng, strips[split], SIDE, _draw(rng, pools, label))
            path = f"{split}/{CLASSES[label]}/{number:04d}.png"
            image.save(out / path)
            boxes[path] = (box[0], box[1], box[2] - box[0], box[3] - box[1])
    write_classes(out, {name: name for name in CLASSES})
    write_boxes(out, boxes)
    return {"items": dict(IMAGES)}


def _draw(rng: random.Random, pools: Sequence[Sequence[Image]], label: int) -> list[Digit]:
    """Return the white digit, of class `label`, and black ones of other classes."""
    others = rng.sample([other for other in range(len(pools)) if other != label], BLACK_DIGITS)
    return [
        Digit(scaled(rng.choice(pools[each]), rng.randint(*LONGER_SIDE)), rng.randint(*greys))
        for each, greys in [(label, WHITE), *((other, BLACK) for other in others)]
    ]
