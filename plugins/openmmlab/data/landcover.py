"""Tiles of the Blue Marble photo with land-cover labels, in geographic blocks of one split each.

The photo is divided into blocks of 256 px (17 degrees); a block and every tile in it belong to one
split.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["CLASSES", "IGNORE", "SPLITS", "TILE", "Tile", "block_split", "tiles"]

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
IGNORE = 255

BLOCK = 256
TILE = 128
STRIDE = {"train": 64, "val": TILE, "test": TILE}
SPLITS = tuple(STRIDE)
# A tile needs this share of its pixels labelled as land of a class.
LAND = 0.3

# Residues 0-3 are train, 4-5 val, 6 test, of (2 column + 4 row + 6) modulo 7. Of the 294 patterns
# (a column + b row + c) mod 7 with a in 1..6, b and c in 0..6, it is the one that gives 47, 22 and
# 12 blocks with the smallest sum of absolute differences between the class shares of train and
# those of val and of test.
PATTERN = (2, 4, 6)


class Tile(NamedTuple):
    """A tile of 128 px.

    Parameters
    ----------
    split, block, name: str
        ``r03c07_y064_x128`` lies 64 px below and 128 px right of the upper left corner of block
        ``r03c07``, in row 3 and column 7.
    image: PIL.Image.Image
        RGB.
    label: numpy.ndarray
        The number of each pixel's class, or `IGNORE`; uint8.
    """

    split: str
    block: str
    name: str
    image: Image
    label: np.ndarray


def block_split(row: int, column: int) -> str:
    """Return the split of a block, counted from the photo's upper left corner."""
    by_column, by_row, offset = PATTERN
    residue = (by_column * column + by_row * row + offset) % 7
    return "train" if residue < 4 else "val" if residue < 6 else "test"


def tiles(photo: Image, codes: np.ndarray) -> Iterator[Tile]:
    """Yield the tiles of all splits, 64 px apart inside a train block, disjoint in the others.

    Parameters
    ----------
    photo: PIL.Image.Image
        RGB.
    codes: numpy.ndarray
        IGBP classes on the photo's grid (height, width).
    """
    labels = _labels(codes)
    for row in range(photo.height // BLOCK):
        for column in range(photo.width // BLOCK):
            split, block = block_split(row, column), f"r{row:02d}c{column:02d}"
            offsets = range(0, BLOCK - TILE + 1, STRIDE[split])
            for y, x in ((y, x) for y in offsets for x in offsets):
                top, left = row * BLOCK + y, column * BLOCK + x
                label = labels[top : top + TILE, left : left + TILE]
                if _is_land(label):
                    image = photo.crop((left, top, left + TILE, top + TILE))
                    yield Tile(split, block, f"{block}_y{y:03d}_x{x:03d}", image, label)


def _labels(codes: np.ndarray) -> np.ndarray:
    """Map IGBP codes to class numbers, of the same shape (height, width), uint8."""
    import numpy as np

    table = np.full(256, IGNORE, np.uint8)
    for number, wanted in enumerate(CODES.values()):
        table[list(wanted)] = number
    return table[codes]


def _is_land(labels: np.ndarray) -> bool:
    return bool(((labels != CLASSES.index("water")) & (labels != IGNORE)).mean() >= LAND)
