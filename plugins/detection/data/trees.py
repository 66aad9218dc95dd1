"""Tree crowns in aerial photos: the two large annotated photos that the deepforest wheel carries.

Each photo (NEON site YELL, read off the file names) is cut by one horizontal line: above it
training, below it validation, so no pixel is shared, yet both come from the same two photos. The
validation strips are whole numbers of tiles high. Two photos of other sites (OSBS, SOAP) are an
out-of-domain test.
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.dataset import Card
from plugins.detection.data.coco import Annotations
from plugins.openmmlab.data.aerial import DEEPFOREST, PHOTOS, Photo, read_image

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["CARD", "SOURCES", "prepare"]

SOURCES = (DEEPFOREST,)

CARD = Card(
    task="detection",
    content="NEON aerial photos with tree-crown boxes",
    licence="MIT",
    unit="tiles",
    benchmark="COCO",
    composed=False,
    in_domain=True,
    packages=("pillow",),
    notes=(
        "val tiles are strips of the photos that train tiles are cut from",
        "a few hundred val boxes: small differences cannot be told from noise with one seed",
        "some trees in dense or smeared parts carry no box",
        "the origin of the photos is read off their file names; the wheel gives one licence for"
        " code and data",
        "test_ood: two photos of other sites",
    ),
)

TILE = 256
TRAIN_STRIDE = 128
# A box of which less than this share of the area lies in a tile is an ignored region there.
VISIBLE = 0.4


OUT_OF_DOMAIN = ("OSBS_029", "SOAP_061")

Rectangle = tuple[int, int, int, int]


def read_boxes(wheel: zipfile.ZipFile, stem: str) -> list[Rectangle]:
    """Return the boxes (x0, y0, x1, y1) of photo `stem`, in pixels, from its VOC file."""
    import xml.etree.ElementTree as ElementTree

    root = ElementTree.fromstring(wheel.read(f"deepforest/data/{stem}.xml"))
    boxes = []
    for box in root.iter("bndbox"):
        x0, y0, x1, y1 = (int(box.findtext(key, "")) for key in ("xmin", "ymin", "xmax", "ymax"))
        boxes.append((x0, y0, x1, y1))
    return boxes


def _train_starts(length: int) -> list[int]:
    """Starts of overlapping tiles; the last one is moved back so that the border is covered."""
    starts = list(range(0, length - TILE + 1, TRAIN_STRIDE))
    if starts[-1] != length - TILE:
        starts.append(length - TILE)
    return starts


def tiles(split: str, photo: Photo, width: int, height: int) -> Iterator[Rectangle]:
    """Yield the tiles (x0, y0, x1, y1) of a photo's train or val strip.

    Train tiles overlap by half; val tiles are disjoint, narrower than 256 px at the right border.
    """
    if split == "train":
        for y in _train_starts(photo.val_from):
            for x in _train_starts(width):
                yield x, y, x + TILE, y + TILE
    else:
        for y in range(photo.val_from, height, TILE):
            for x in range(0, width, TILE):
                yield x, y, min(x + TILE, width), min(y + TILE, height)


def visible(boxes: list[Rectangle], tile: Rectangle) -> list[tuple[Rectangle, bool]]:
    """Return the boxes clipped to a tile, in its coordinates, each with its crowd mark."""
    left, top, right, bottom = tile
    found = []
    for x0, y0, x1, y1 in boxes:
        clipped = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
        width, height = clipped[2] - clipped[0], clipped[3] - clipped[1]
        if width <= 0 or height <= 0:
            continue
        crowd = width * height < VISIBLE * (x1 - x0) * (y1 - y0)
        found.append(
            ((clipped[0] - left, clipped[1] - top, clipped[2] - left, clipped[3] - top), crowd)
        )
    return found


def prepare(sources: Mapping[str, Path], out: Path, progress: Callable[[str], None]) -> dict:
    """Write COCO files and PNG tiles of the three splits into the folder `out`.

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
        ``items`` (images of each split), ``boxes`` and ``crowd`` (ignored boxes) of each split.

    Notes
    -----
    PNG, because the photos are stored without loss: pixels do not depend on a JPEG encoder. Train
    tiles without a box of their own teach nothing here and are left out.
    """
    images = out / "images"
    images.mkdir()
    files = {
        split: Annotations(f"tree crowns, {split}", ["tree"])
        for split in ("train", "val", "test_ood")
    }

    def save(split: str, stem: str, picture: Image, tile: Rectangle, boxes: list) -> None:
        name = f"{split}_{stem}_y{tile[1]:04d}_x{tile[0]:04d}.png"
        picture.crop(tile).save(images / name)
        width, height = tile[2] - tile[0], tile[3] - tile[1]
        # Where the pixels came from: what keeps the splits apart can be checked from the file.
        image = files[split].add_image(name, width, height, photo=stem, rectangle=tile)
        for corners, crowd in boxes:
            files[split].add_box(image, 1, corners, crowd=crowd)

    with zipfile.ZipFile(sources[DEEPFOREST.package]) as wheel:
        for photo in PHOTOS:
            progress(f"cutting {photo.stem} into tiles")
            picture, annotated = read_image(wheel, photo.stem), read_boxes(wheel, photo.stem)
            for split in ("train", "val"):
                for tile in tiles(split, photo, *picture.size):
                    boxes = visible(annotated, tile)
                    if split == "val" or not all(crowd for _, crowd in boxes):
                        save(split, photo.stem, picture, tile, boxes)
        for stem in OUT_OF_DOMAIN:
            picture = read_image(wheel, stem)
            whole = (0, 0, *picture.size)
            save("test_ood", stem, picture, whole, visible(read_boxes(wheel, stem), whole))

    counts = {
        split: file.write(out / "annotations" / f"{split}.json") for split, file in files.items()
    }
    return {
        "items": {split: count["images"] for split, count in counts.items()},
        "boxes": {split: count["boxes"] for split, count in counts.items()},
        "crowd": {split: count["crowd"] for split, count in counts.items()},
    }
