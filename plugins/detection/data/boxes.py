"""The door for boxes: COCO's files and images, as annotation tools export them."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from plugins.contracts.copies import link, some
from plugins.contracts.dataset import PrepareError
from plugins.contracts.doors import Door, DoorOptions
from plugins.detection.data.annotations import Annotated, read
from plugins.detection.data.check import check_pair
from plugins.detection.data.coco import META_FILE
from plugins.detection.data.layout import find_files, find_images
from plugins.openmmlab.data.own_files import plain

__all__ = ["Boxes", "BoxesOptions"]


class BoxesOptions(DoorOptions):
    """What a user may say of annotation files and images."""

    train: str = Field("", description="annotation file of train")
    val: str = Field("", description="annotation file of val")
    images: str = Field("", description="folder of the images, or of the folders train and val")
    val_share: float | None = Field(
        None, gt=0, lt=1, description="share of the images of one file that becomes val, as 0.2"
    )


class Boxes(Door):
    """Takes in annotation files in COCO's format, with their images."""

    task = "detection"
    Options = BoxesOptions
    content = "photos with boxes"
    unit = "images"
    where = "a folder of COCO annotation files of train and val, and of images"

    def prepare(
        self, copy: Path, out: Path, options: Any, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Write annotation files of one numbering, and links to the images."""
        if options.val_share is not None and options.val:
            raise PrepareError(
                "val_share divides one file, and val names another; give one of them"
            )
        files = find_files(copy, options.train, options.val, options.val_share is not None)
        found, images = {}, {}
        for split, file in files.items():
            progress(f"reading {file.name}")
            found[split] = read(file, mend=True)
            names = [image["file_name"] for image in found[split].images.values()]
            images[split] = find_images(copy, file, split, names, options.images)
        notes = [
            f"{each.file.name}: {what}: {number} of {len(each.annotations)} annotations"
            for each in found.values()
            for what, number in each.mended.items()
        ]
        if options.val_share is not None:
            found = _divided(found["train"], options.val_share)
            images = dict.fromkeys(found, images["train"])
        for split, each in found.items():
            if lost := int((each.dropped & ~each.crowd).sum()):
                notes.append(f"{lost} of {len(each.boxes)} {split} boxes, below a pixel, left out")
            found[split] = _without(each, each.dropped)
        classes = _classes(found["train"], found["val"], notes)
        found = {split: _renamed(each, classes) for split, each in found.items()}
        check_pair(found["train"], found["val"])
        for split, each in found.items():
            progress(f"writing {split}")
            _write(each, classes, out / "annotations" / f"{split}.json")
            for image in each.images.values():
                name = image["file_name"]
                link(images[split][name], out / "images" / split / name)
        meta = {"image_folders": {split: f"images/{split}/" for split in found}}
        (out / META_FILE).write_text(json.dumps(meta, indent=1), encoding="utf-8")
        return {
            "items": {split: len(each.images) for split, each in found.items()},
            "boxes": {split: int((~each.crowd).sum()) for split, each in found.items()},
            "crowd": {split: int(each.crowd.sum()) for split, each in found.items()},
            "notes": notes,
        }


def _divided(all_: Annotated, share: float) -> dict[str, Annotated]:
    """Divide a file by image: those whose names hash lowest are val, the same on every machine."""
    import numpy as np

    def place(key: Any) -> bytes:
        return hashlib.sha256(all_.images[key]["file_name"].encode()).digest()

    ordered = sorted(all_.images, key=place)
    val = frozenset(ordered[: max(1, round(share * len(ordered)))])
    in_val = np.array([entry["image_id"] in val for entry in all_.annotations], dtype=bool)
    parts = {"train": _without(all_, in_val), "val": _without(all_, ~in_val)}
    for split, part in parts.items():
        part.images = {
            key: image for key, image in all_.images.items() if (key in val) == (split == "val")
        }
        if not len(part.boxes):
            raise PrepareError(
                f"{all_.file}: with val_share {share:g} no box is left for {split}; give another "
                "share, or files of train and val"
            )
    return parts


def _without(all_: Annotated, left_out: Any) -> Annotated:
    kept = ~left_out
    return replace(
        all_,
        annotations=[
            entry for entry, is_in in zip(all_.annotations, kept.tolist(), strict=True) if is_in
        ],
        boxes=all_.boxes[kept],
        crowd=all_.crowd[kept],
        dropped=all_.dropped[kept],
    )


def _classes(train: Annotated, val: Annotated, notes: list[str]) -> list[str]:
    """Return the classes in train's order, without those of which there is no box."""
    of_train, of_val = _used(train), _used(val)
    if unknown := of_val - set(train.classes.values()):
        near = {plain(name): name for name in train.classes.values()}
        first = min(unknown)
        also = near.get(plain(first))
        hint = f"; train has {also!r}: write them alike" if also else ""
        raise PrepareError(
            f"{val.file} has boxes of {some(map(repr, unknown))}, which {train.file} does not list "
            f"among its categories{hint}"
        )
    listed = Counter(train.classes.values())
    if empty := [name for name in listed if listed[name] > 1 or name not in of_train | of_val]:
        notes.append(f"categories without a box, left out: {some(empty)}")
    if list(train.classes.values()) != list(val.classes.values()):
        notes.append("train and val list their classes otherwise; both have train's order now")
    return [name for name in listed if name in of_train | of_val]


def _used(each: Annotated) -> set[str]:
    """Return the classes that have boxes."""
    ids = {entry["category_id"] for entry in each.annotations}
    names = Counter(each.classes[key] for key in ids)
    if twins := [name for name, number in names.items() if number > 1]:
        raise PrepareError(f"{each.file} has two categories {twins[0]!r}, both with boxes")
    return set(names)


def _renamed(each: Annotated, classes: list[str]) -> Annotated:
    """Number classes from 1 in one order; the entries of annotations are changed."""
    numbers = {name: number for number, name in enumerate(classes, 1)}
    for entry in each.annotations:
        entry["category_id"] = numbers[each.classes[entry["category_id"]]]
    return replace(each, classes=dict(enumerate(classes, 1)))


def _write(each: Annotated, classes: list[str], path: Path) -> None:
    """Write a split with ids from 1, and only what boxes need."""
    ids = {key: number for number, key in enumerate(each.images, 1)}
    content = {
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
        "images": [
            {
                "id": ids[key],
                "file_name": image["file_name"],
                "width": int(image["width"]),
                "height": int(image["height"]),
            }
            for key, image in each.images.items()
        ],
        "annotations": [
            {
                "id": number,
                "image_id": ids[entry["image_id"]],
                "category_id": entry["category_id"],
                "bbox": entry["bbox"],
                "area": entry["area"],
                "iscrowd": entry["iscrowd"],
            }
            for number, entry in enumerate(each.annotations, 1)
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
