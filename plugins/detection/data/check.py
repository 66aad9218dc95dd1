"""Check a set of boxes, whoever made it: do training and evaluation see what its files say?"""

from __future__ import annotations

import filecmp
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from plugins.contracts.copies import some
from plugins.contracts.dataset import Checked, PrepareError
from plugins.detection.data.annotations import Annotated, read
from plugins.detection.data.coco import image_folder
from plugins.openmmlab.data.own_files import plain
from plugins.openmmlab.images import check_images

__all__ = ["SMALLEST_IMAGE", "check", "check_pair"]

SPLITS = ("train", "val")
SMALLEST_IMAGE = 8
"""Pixels; training leaves narrower or lower images out (``filter_cfg`` of the config)."""
DETECTIONS = 100
"""Of an image, as far as COCO's AP counts them."""


def check(folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    """Read a prepared set; see `plugins.contracts.task.ChecksData.check_data`."""
    found, paths, notes = {}, {}, []
    for split in SPLITS:
        progress(f"reading {split}.json")
        found[split] = read(folder / "annotations" / f"{split}.json", published=not whole)
        images = folder / _images(folder, split)
        paths[split] = [images / entry["file_name"] for entry in found[split].images.values()]
    check_pair(found["train"], found["val"], published=not whole)
    for split in SPLITS:
        sizes = [(each["width"], each["height"]) for each in found[split].images.values()]
        notes += [
            f"{split}: {note}"
            for note in check_images(
                paths[split],
                sizes,
                whole,
                lambda doing, split=split: progress(f"{split}: {doing}"),  # type: ignore[misc]
            )
        ]
    images_trained, boxes_trained, left_out = _trained(found["train"])
    return Checked(
        counts={"trained": {"train": images_trained}, "trained_boxes": boxes_trained},
        notes=(*left_out, *_about_classes(found), *_about_val(found["val"]), *_both(paths), *notes),
    )


def check_pair(train: Annotated, val: Annotated, published: bool = False) -> None:
    """Raise PrepareError unless the splits agree and there is something to learn and to find."""
    for each in (train, val):
        alike: dict[str, str] = {}
        for name in each.classes.values():
            if (other := alike.get(plain(name))) is not None:
                what = "has one class twice" if other == name else "has classes that look alike"
                raise PrepareError(
                    f"{each.file} {what}: {other!r} and {name!r}; give a thing one name and one id"
                )
            alike[plain(name)] = name
    ours, theirs = list(train.classes.values()), list(val.classes.values())
    if ours != theirs:
        raise PrepareError(
            f"{train.file} and {val.file} have other categories: " + _unlike(ours, theirs)
        )
    if not (~train.crowd & ~train.dropped).any():
        raise PrepareError(
            f"{train.file} has no box to learn from: all are crowds or below a pixel"
        )
    if val.crowd.all():
        raise PrepareError(
            f"{val.file} has no box to find: all are crowds (iscrowd 1), or below a pixel"
        )
    lost = val.dropped & ~val.crowd
    if lost.any() and not published:
        entry = val.annotations[int(lost.argmax())]
        raise PrepareError(
            f"{val.file}: annotation {entry.get('id')}: bbox is {entry['bbox']}, below a pixel. "
            "Training leaves such boxes out and evaluation counts them; leave it out"
            + (f" ({lost.sum()} boxes in all)" if lost.sum() > 1 else "")
        )


def _unlike(train: list[str], val: list[str]) -> str:
    if sorted(train) == sorted(val):
        at = next(i for i, pair in enumerate(zip(train, val, strict=True)) if len(set(pair)) == 2)
        return (
            f"they number them otherwise, {train[at]!r} and {val[at]!r} come in place {at + 1}; "
            "give each class one id in both files"
        )
    lacking = (
        [f"val lacks {some(map(repr, set(train) - set(val)))}"] if set(train) - set(val) else []
    )
    lacking += (
        [f"train lacks {some(map(repr, set(val) - set(train)))}"] if set(val) - set(train) else []
    )
    return "; ".join(lacking) + ". List the same classes in both"


def _images(folder: Path, split: str) -> str:
    try:
        return image_folder(folder, split)
    except (ValueError, KeyError, TypeError) as error:
        raise PrepareError(
            f"{folder / 'meta.json'} does not say where the images of {split} are ({error!r}): "
            f'{{"image_folders": {{"{split}": "FOLDER/"}}}} is meant'
        ) from error


def _trained(train: Annotated) -> tuple[int, int, list[str]]:
    """Return how many images and boxes are learned from, and what is left out, in words."""
    learned = ~train.crowd & ~train.dropped
    with_any = {entry["image_id"] for entry in train.annotations}
    large = {
        key
        for key, image in train.images.items()
        if min(image["width"], image["height"]) >= SMALLEST_IMAGE
    }
    kept = with_any & large
    taught = Counter(
        entry["image_id"]
        for entry, mine in zip(train.annotations, learned.tolist(), strict=True)
        if mine and entry["image_id"] in kept
    )
    images = len(train.images)
    told = {
        f"of {images} training images have no box and are left out": images - len(with_any),
        f"of {images} training images are below {SMALLEST_IMAGE} pixels and are left out": len(
            with_any - large
        ),
        f"of {images} training images have only crowds, or boxes below a pixel: training sees them "
        "as images of nothing": len(kept) - len(taught),
        f"of {len(train.boxes)} training boxes are below a pixel and are left out": int(
            (train.dropped & ~train.crowd).sum()
        ),
    }
    if not taught:
        raise PrepareError(f"{train.file}: no image of {SMALLEST_IMAGE} pixels or more has a box")
    return len(kept), taught.total(), [f"{count} {what}" for what, count in told.items() if count]


def _about_classes(found: Mapping[str, Annotated]) -> Iterator[str]:
    boxes = {}
    for split, each in found.items():
        kept = ~each.crowd & ~each.dropped
        boxes[split] = Counter(
            each.classes[entry["category_id"]]
            for entry, mine in zip(each.annotations, kept.tolist(), strict=True)
            if mine
        )
    names = found["train"].classes.values()
    if none := [name for name in names if not boxes["train"][name]]:
        yield f"classes without a box to learn from: {some(none)}"
    if none := [name for name in names if not boxes["val"][name]]:
        yield f"classes without a box in val, which count nothing in AP: {some(none)}"


def _about_val(val: Annotated) -> Iterator[str]:
    boxes = Counter(entry["image_id"] for entry in val.annotations)
    if crowded := sum(number > DETECTIONS for number in boxes.values()):
        yield (
            f"{crowded} val images have more than {DETECTIONS} boxes; COCO's AP counts as many "
            "detections of an image, so that 1 cannot be reached"
        )


def _both(paths: Mapping[str, list[Path]]) -> Iterator[str]:
    """Tell images that are in both splits."""
    train = {path.name: path for path in paths["train"]}
    both = [
        path.name
        for path in paths["val"]
        if (other := train.get(path.name)) is not None and _same(path, other)
    ]
    if both:
        yield f"images that are in train and in val: {some(both)}; AP is then no measure"


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or filecmp.cmp(one, other, shallow=False)
