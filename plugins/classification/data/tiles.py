"""Land cover of small tiles of the Earth: NASA's Blue Marble photo, ten classes of the MODIS map.

A tile of 32 px (240 km at the equator) has the class that covers most of the 6 x 6 px in its
middle. The photo is divided into geographic blocks of 100 px; a block and every tile in it belong
to one split.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from plugins.classification.data.layout import write_classes
from plugins.contracts.dataset import Card
from plugins.openmmlab.data.earth import LICENCE, SOURCES, read_photo_and_map

if TYPE_CHECKING:
    import numpy as np

__all__ = ["BLOCK", "CARD", "CLASSES", "CORE", "SOURCES", "TILE", "prepare"]

CARD = Card(
    task="classification",
    content="Blue Marble photo in tiles, with MODIS land-cover classes",
    licence=LICENCE,
    unit="tiles",
    benchmark="EuroSAT",
    composed=False,
    in_domain=True,
    packages=("numpy", "pillow"),
    notes=(
        "no test of spatial attention: the classes differ mostly in colour. The 9 nearest training"
        " tiles by mean and deviation of red, green and blue name 57 % of val right",
        "splits are disjoint geographic blocks, but neighbouring blocks resemble each other",
        "photo and map are of different years, and snow on the photo is seasonal; savanna and woody"
        " savanna, grassland and cropland are ambiguous at 7 km a pixel",
        "of the map's classes the ten with enough tiles, and the draw of blocks of 400 with the"
        " best balance between splits, were chosen by counting labels, not by any model",
    ),
    splits=("train", "val", "test"),
)

# IGBP codes of the map (MCD12C1 user guide, table 4).
CLASSES = {
    "evergreen needleleaf forest": 1,
    "evergreen broadleaf forest": 2,
    "deciduous broadleaf forest": 4,
    "mixed forest": 5,
    "open shrubland": 7,
    "woody savanna": 8,
    "savanna": 9,
    "grassland": 10,
    "cropland": 12,
    "barren": 16,
}

BLOCK = 100
TILE = 32
# Stride and core are such that no pixel decides on two tiles.
CORE = 6
STRIDE = 8
SHARE = 0.7
"""Of the core, which the class of a tile covers at least."""

# The seed whose splits are most alike in their shares of the classes, of 0 to 399.
SEED = 41
BLOCKS = {"train": 0.66, "val": 0.17, "test": 0.17}
MOST = {"train": 400, "val": 80, "test": 80}
"""Tiles of a class."""


class Tile(NamedTuple):
    """A tile's block, by row and column, its upper left corner in the block, and its label."""

    row: int
    column: int
    y: int
    x: int
    label: int

    @property
    def corner(self) -> tuple[int, int]:
        """Left and top in the photo."""
        return self.column * BLOCK + self.x, self.row * BLOCK + self.y


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write tiles in a folder a class, and ``classes.json``, into the folder `out`.

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
        ``items`` (tiles), ``blocks`` and ``tiles`` (of each class) of each split.

    Notes
    -----
    The name of a tile gives block and position: ``r03c07_y064_x008`` lies 64 px below and 8 px
    right of the upper left corner of the block in row 3, column 7.
    """
    import numpy as np

    progress("reading photo and map")
    photo, codes = read_photo_and_map(sources)
    progress("looking for tiles of one class")
    chance = np.random.default_rng(SEED)
    splits = _divided(list(_tiles(codes)), chance)
    folders = {name: name.replace(" ", "_") for name in CLASSES}
    chosen = {}
    for split, tiles in splits.items():
        progress(f"cutting the tiles of {split}")
        chosen[split] = list(_at_most(tiles, MOST[split], chance))
        for tile in chosen[split]:
            left, top = tile.corner
            folder = out / split / list(folders.values())[tile.label]
            folder.mkdir(parents=True, exist_ok=True)
            name = f"r{tile.row:02d}c{tile.column:02d}_y{tile.y:03d}_x{tile.x:03d}.png"
            photo.crop((left, top, left + TILE, top + TILE)).save(folder / name)
    write_classes(out, {folder: name for name, folder in folders.items()})
    return {
        "items": {split: len(tiles) for split, tiles in chosen.items()},
        "blocks": {s: len({tile[:2] for tile in tiles}) for s, tiles in chosen.items()},
        "tiles": {
            split: {name: sum(t.label == c for t in tiles) for c, name in enumerate(CLASSES)}
            for split, tiles in chosen.items()
        },
    }


def _tiles(codes: np.ndarray) -> Iterator[Tile]:
    """Yield all tiles of a class, from codes (height, width)."""
    import numpy as np

    wanted, edge = list(CLASSES.values()), (TILE - CORE) // 2
    offsets = range(0, BLOCK - TILE + 1, STRIDE)
    for row in range(codes.shape[0] // BLOCK):
        for column in range(codes.shape[1] // BLOCK):
            for y, x in ((y, x) for y in offsets for x in offsets):
                top, left = row * BLOCK + y + edge, column * BLOCK + x + edge
                core = codes[top : top + CORE, left : left + CORE]
                pixels = np.bincount(core.ravel(), minlength=256)[wanted]
                if pixels.max() >= SHARE * core.size:
                    yield Tile(row, column, y, x, int(pixels.argmax()))


def _divided(tiles: list[Tile], chance: np.random.Generator) -> dict[str, list[Tile]]:
    """Divide tiles among the splits by their blocks."""
    blocks = sorted({tile[:2] for tile in tiles})
    drawn = [blocks[number] for number in chance.permutation(len(blocks))]
    first = int(BLOCKS["train"] * len(blocks))
    second = int((BLOCKS["train"] + BLOCKS["val"]) * len(blocks))
    parts = {"train": drawn[:first], "val": drawn[first:second], "test": drawn[second:]}
    split_of = {block: split for split, part in parts.items() for block in part}
    return {split: [tile for tile in tiles if split_of[tile[:2]] == split] for split in parts}


def _at_most(tiles: list[Tile], most: int, chance: np.random.Generator) -> Iterator[Tile]:
    """Yield up to `most` tiles of each class, drawn at random."""
    for label in range(len(CLASSES)):
        known = [tile for tile in tiles if tile.label == label]
        for number in sorted(chance.permutation(len(known))[:most]):
            yield known[number]
