"""Land cover of the Earth: NASA's Blue Marble photo, labelled by the MODIS land-cover map of 2019.

The photo is divided into geographic blocks of 256 px (17 degrees); a block and every tile in it
belong to one split. The files have the layout of Cityscapes, with other classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from plugins.contracts.dataset import Card
from plugins.openmmlab.data.earth import LICENCE, SOURCES, read_photo_and_map
from plugins.openmmlab.data.landcover import CLASSES, IGNORE, SPLITS, TILE, tiles

__all__ = ["CARD", "PALETTE", "SOURCES", "prepare"]

CARD = Card(
    task="segmentation",
    content="Blue Marble photo with MODIS land-cover labels",
    licence=LICENCE,
    unit="tiles",
    benchmark="Cityscapes",
    composed=False,
    in_domain=True,
    packages=("numpy", "pillow"),
    notes=(
        "splits are disjoint geographic blocks, but neighbouring blocks resemble each other",
        "photo and map are of different years; savanna, grassland and shrubland are ambiguous at"
        " 7 km a pixel",
        "wetland, towns, snow and ice are ignored: snow on the photo is seasonal",
        "the block pattern was chosen for class balance by looking at labels, not at any model",
    ),
    splits=("train", "val", "test"),
)

# In the order of the classes.
PALETTE = (
    (28, 107, 160),
    (5, 102, 33),
    (194, 160, 90),
    (170, 200, 80),
    (218, 222, 72),
    (250, 140, 60),
    (220, 210, 190),
)


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write image and label tiles in Cityscapes layout, and ``meta.json``, into the folder `out`.

    Parameters
    ----------
    sources: mapping of str to Path
        The verified wheel of each package in `SOURCES`.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.

    Returns
    -------
    dict
        ``items`` (tiles), ``blocks`` and ``shares`` (of labelled pixels, in the order of
        the classes) of each split.

    Notes
    -----
    Tiles are 128 px, 64 px apart inside a train block and disjoint inside the others. Their names
    give block and position: ``r03c07_y064_x128`` lies 64 px below and 128 px right of the upper
    left corner of the block in row 3, column 7.
    """
    import numpy as np
    from PIL import Image

    progress("reading photo and map")
    photo, codes = read_photo_and_map(sources)
    progress("cutting tiles")
    number = dict.fromkeys(SPLITS, 0)
    blocks: dict[str, set[str]] = {split: set() for split in SPLITS}
    pixels = {split: np.zeros(len(CLASSES), np.int64) for split in SPLITS}
    for split, block, name, image, label in tiles(photo, codes):
        image_folder = out / "leftImg8bit" / split / block
        label_folder = out / "gtFine" / split / block
        image_folder.mkdir(parents=True, exist_ok=True)
        label_folder.mkdir(parents=True, exist_ok=True)
        image.save(image_folder / f"{name}_leftImg8bit.png")
        Image.fromarray(label).save(label_folder / f"{name}_gtFine_labelTrainIds.png")
        number[split] += 1
        blocks[split].add(block)
        pixels[split] += np.bincount(label[label != IGNORE], minlength=len(CLASSES))

    meta = {"classes": CLASSES, "palette": PALETTE, "ignore_index": IGNORE, "tile": TILE}
    (out / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return {
        "items": number,
        "blocks": {split: len(found) for split, found in blocks.items()},
        "shares": {
            split: [round(float(share), 3) for share in count / count.sum()]
            for split, count in pixels.items()
        },
    }
