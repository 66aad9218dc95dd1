"""Land cover of the Earth: NASA's Blue Marble photo, labelled by the MODIS land-cover map of 2019.

The photo is divided into geographic blocks of 256 px (17 degrees); a block and every tile in it
belong to one split. The files have the layout of Cityscapes, with other classes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Card
from plugins.openmmlab.data.earth import LICENCE, SOURCES, read_photo_and_map

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CARD", "CLASSES", "IGNORE", "PALETTE", "SOURCES", "block_split", "prepare"]

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

# IGBP codes of the map (MCD12C1 user guide, table 4); 11 wetland, 13 towns and 15 snow are ignored.
CODES = {
    "water": (0,),
    "forest": (1, 2, 3, 4, 5),
    "shrubland": (6, 7),
    "savanna": (8, 9),
    "grassland": (10,),
    "cropland": (12, 14),
    "barren": (16,),
}
CLASSES = tuple(CODES)
PALETTE = (
    (28, 107, 160),
    (5, 102, 33),
    (194, 160, 90),
    (170, 200, 80),
    (218, 222, 72),
    (250, 140, 60),
    (220, 210, 190),
)
IGNORE = 255

BLOCK = 256
TILE = 128
STRIDE = {"train": 64, "val": TILE, "test": TILE}
# A tile needs this share of its pixels labelled as land of a class.
LAND = 0.3

# Residues 0-3 are train, 4-5 val, 6 test, of (2 column + 4 row + 6) modulo 7. Of the 294 patterns
# (a column + b row + c) mod 7 with a in 1..6, b and c in 0..6, it is the one that gives 47, 22 and
# 12 blocks with the smallest sum of absolute differences between the class shares of train and
# those of val and of test.
PATTERN = (2, 4, 6)


def block_split(row: int, column: int) -> str:
    """Return the split of a block, counted from the photo's upper left corner."""
    by_column, by_row, offset = PATTERN
    residue = (by_column * column + by_row * row + offset) % 7
    return "train" if residue < 4 else "val" if residue < 6 else "test"


def _labels(codes: np.ndarray) -> np.ndarray:
    """Map IGBP codes to class numbers, of the same shape (height, width), uint8."""
    import numpy as np

    table = np.full(256, IGNORE, np.uint8)
    for number, wanted in enumerate(CODES.values()):
        table[list(wanted)] = number
    return table[codes]


def _is_land(labels: np.ndarray) -> bool:
    return bool(((labels != CLASSES.index("water")) & (labels != IGNORE)).mean() >= LAND)


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
        `CLASSES`) of each split.

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
    labels = _labels(codes)

    tiles = dict.fromkeys(STRIDE, 0)
    blocks = dict.fromkeys(STRIDE, 0)
    pixels = {split: np.zeros(len(CLASSES), np.int64) for split in STRIDE}
    for row in range(photo.height // BLOCK):
        progress(f"cutting tiles, row {row + 1} of {photo.height // BLOCK}")
        for column in range(photo.width // BLOCK):
            split, block = block_split(row, column), f"r{row:02d}c{column:02d}"
            before = tiles[split]
            offsets = range(0, BLOCK - TILE + 1, STRIDE[split])
            for y, x in ((y, x) for y in offsets for x in offsets):
                top, left = row * BLOCK + y, column * BLOCK + x
                label = labels[top : top + TILE, left : left + TILE]
                if not _is_land(label):
                    continue
                image_folder = out / "leftImg8bit" / split / block
                label_folder = out / "gtFine" / split / block
                image_folder.mkdir(parents=True, exist_ok=True)
                label_folder.mkdir(parents=True, exist_ok=True)
                name = f"{block}_y{y:03d}_x{x:03d}"
                image = photo.crop((left, top, left + TILE, top + TILE))
                image.save(image_folder / f"{name}_leftImg8bit.png")
                Image.fromarray(label).save(label_folder / f"{name}_gtFine_labelTrainIds.png")
                tiles[split] += 1
                pixels[split] += np.bincount(label[label != IGNORE], minlength=len(CLASSES))
            blocks[split] += tiles[split] > before

    meta = {"classes": CLASSES, "palette": PALETTE, "ignore_index": IGNORE, "tile": TILE}
    (out / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return {
        "items": tiles,
        "blocks": blocks,
        "shares": {
            split: [round(float(share), 3) for share in count / count.sum()]
            for split, count in pixels.items()
        },
    }
