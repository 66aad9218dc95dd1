"""COCO 2017, from a copy that its user has.

Nothing is converted. The folder gets links, ::

    annotations/train.json   -> COPY/annotations/instances_train2017.json
    annotations/val.json     -> COPY/annotations/instances_val2017.json
    images/train2017         -> COPY/train2017 (or COPY/images/train2017)
    images/val2017           -> COPY/val2017
    meta.json                the folder that each split's ``file_name`` is relative to

and `plugins.detection.data.coco.image_folder` reads the last.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from plugins.contracts.copies import CopyCard, check_counts, check_folder, link, some
from plugins.contracts.dataset import PrepareError, Source
from plugins.detection.data.annotations import read
from plugins.detection.data.coco import META_FILE

__all__ = ["CARD", "SOURCES", "prepare", "recognises"]

SOURCES: tuple[Source, ...] = ()

CARD = CopyCard(
    task="detection",
    content="photos of everyday scenes with boxes of 80 kinds of objects",
    licence="annotations CC BY 4.0; photos under their owners' Flickr licences",
    unit="images",
    benchmark="COCO 2017",
    composed=False,
    in_domain=True,
    packages=(),
    notes=(
        "the fingerprint covers the content of the annotation files, and names and sizes of the"
        " images",
        "100 images of each split were decoded, of the others only the headers were read",
    ),
    where="COCO 2017 is at https://cocodataset.org/#download; unpack train2017.zip, val2017.zip and"
    " annotations_trainval2017.zip in one folder",
)

SPLITS = {"train": "train2017", "val": "val2017"}
# Counted in the published files; https://cocodataset.org/#detection-2017 gives them rounded.
OFFICIAL = {
    "train2017 images": 118_287,
    "train2017 annotations": 860_001,
    "val2017 images": 5_000,
    "val2017 annotations": 36_781,
    "categories": 80,
}
OUTPUTS = OFFICIAL["categories"]
TRAINING_ITEMS = 117_266  # of the images those with boxes, from which MMDetection learns


class _Split(NamedTuple):
    """What was found in one annotation file."""

    images: frozenset[str]
    boxes: int
    crowd: int
    categories: int


def recognises(folder: Path) -> bool:
    """Tell whether a folder looks like a copy of COCO of any year, complete or not."""
    if not folder.is_dir():
        return False
    names = {entry.name for entry in folder.iterdir()}
    return "annotations" in names or any(name.startswith(("train20", "val20")) for name in names)


def prepare(copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False) -> dict:
    """Check a copy of COCO 2017, and link to it from the folder `out`.

    Parameters
    ----------
    copy: Path
        The folder with ``annotations``, ``train2017`` and ``val2017``; the latter two may lie in
        ``images``.
    out: Path
        An empty folder.
    progress: callable
        Told what is being done.
    subset: bool
        Whether the numbers of images, annotations and categories may differ from COCO's.

    Returns
    -------
    dict
        ``items`` (images), ``boxes`` and ``crowd`` (ignored regions) of each split, ``official``:
        whether the numbers are COCO's.

    Raises
    ------
    PrepareError
        If the copy is not COCO 2017, or not whole.
    """
    check_folder(copy, CARD)
    files = {split: _annotation_file(copy, name) for split, name in SPLITS.items()}
    folders = {split: _image_folder(copy, name) for split, name in SPLITS.items()}
    found = {}
    for split in SPLITS:
        progress(f"reading {files[split].name}")
        found[split] = _count(files[split], published=not subset)
    if both := found["train"].images & found["val"].images:
        raise PrepareError(f"images that are in both {files['train']} and val: {some(both)}")
    numbers = {"categories": found["val"].categories}
    for split, name in SPLITS.items():
        numbers[f"{name} images"] = len(found[split].images)
        numbers[f"{name} annotations"] = found[split].boxes + found[split].crowd
    official = check_counts(numbers, OFFICIAL, subset)
    for split, name in SPLITS.items():
        link(files[split], out / "annotations" / f"{split}.json")
        link(folders[split], out / "images" / name)
    meta = {"image_folders": {split: f"images/{name}/" for split, name in SPLITS.items()}}
    (out / META_FILE).write_text(json.dumps(meta, indent=1), encoding="utf-8")
    return {
        "items": {split: len(content.images) for split, content in found.items()},
        "boxes": {split: content.boxes for split, content in found.items()},
        "crowd": {split: content.crowd for split, content in found.items()},
        "official": official,
    }


def _annotation_file(copy: Path, name: str) -> Path:
    file = copy / "annotations" / f"instances_{name}.json"
    if not file.is_file():
        raise PrepareError(f"{file} is missing{_likely_mistake(copy)}; {CARD.where}")
    return file


def _image_folder(copy: Path, name: str) -> Path:
    places = (copy / name, copy / "images" / name)
    for place in places:
        if place.is_dir():
            return place
    raise PrepareError(
        f"there is neither {places[0]} nor {places[1]}{_likely_mistake(copy)}; {CARD.where}"
    )


def _likely_mistake(copy: Path) -> str:
    """Say what the folder holds instead, if it is one of the usual mistakes."""
    places = (copy, copy / "annotations", copy / "images")
    names = {entry.name for place in places if place.is_dir() for entry in place.iterdir()}
    for year in ("2014", "2015"):
        if any(name.removesuffix(".json").endswith(year) for name in names):
            return (
                f": this is COCO {year}, which divides its images into train and val otherwise "
                "than COCO 2017"
            )
    if any(name.startswith(("test20", "image_info_test")) for name in names):
        return ": this is the test split, whose annotations are not public; train and val are used"
    return ""


def _count(file: Path, published: bool) -> _Split:
    content = read(file, published=published)
    crowd = int(content.crowd.sum())
    return _Split(
        frozenset(image["file_name"] for image in content.images.values()),
        len(content.crowd) - crowd,
        crowd,
        len(content.classes),
    )
