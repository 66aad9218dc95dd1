"""Find images and their labels in a user's folder, in the layouts that are in use."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError
from plugins.openmmlab.data.own_files import SPLIT_FOLDERS, one_folder, val_of

__all__ = ["LAYOUTS", "Pair", "find", "share"]

IMAGE_FOLDERS = ("images", "img_dir", "leftImg8bit", "imgs", "img", "image")
LABEL_FOLDERS = (
    *("labels", "masks", "annotations", "ann_dir", "gtFine", "label", "mask", "annotation"),
)
LISTS = "ImageSets/Segmentation"
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
CITYSCAPES_END = "_leftImg8bit"
IMAGE_ENDS = ("_image", "_img", "_rgb")
"""What an image's name may have instead of one of the following."""
LABEL_ENDS = (
    *("", "_gtFine_labelTrainIds", "_labelTrainIds", "_gtFine_labelIds", "_labelIds"),
    *("_mask", "_masks", "_label", "_labels", "_segmentation", "_seg", "_gt", "_annotation"),
)
"""What follows an image's name in that of its label; the first that is there is taken."""
OTHER_ENDS = ("_gtFine_color", "_gtFine_instanceIds", "_color", "_instanceIds")
LAYOUTS = (
    "images/train, images/val with labels (or masks, annotations) of the same names in "
    "labels/train, labels/val; images and labels without such folders, and a share for val; "
    f"JPEGImages, SegmentationClass and {LISTS}/train.txt, val.txt; or leftImg8bit and gtFine"
)


class Pair(NamedTuple):
    """An image with its label."""

    name: str
    image: Path
    label: Path


def find(copy: Path) -> dict[str, list[Pair]]:
    """Return the pairs of ``train`` and ``val``, or those of ``all`` if these are not apart.

    Raises
    ------
    PrepareError
        If the folder has no known layout, an image or a label is alone, or a name is there twice.
    """
    if (copy / LISTS).is_dir():
        return _listed(copy)
    folders = _folders(copy)
    found = {}
    for split, (images, labels) in folders.items():
        known = _images(images)
        if not known:
            raise PrepareError(
                f"{images} has no image; files that end in {', '.join(SUFFIXES)} are images"
            )
        found[split] = _pairs(known, images, labels)
    return found


def share(pairs: Iterable[Pair], part: float) -> dict[str, list[Pair]]:
    """Divide pairs by a hash of their names, so that `part` of them is val."""
    found = sorted(pairs)
    val = val_of((pair.name for pair in found), part)
    if len(val) >= len(found):
        raise PrepareError(f"val_share={part:g} of {len(found)} images leaves none for train")
    return {
        "train": [pair for pair in found if pair.name not in val],
        "val": [pair for pair in found if pair.name in val],
    }


def _folders(copy: Path) -> dict[str, tuple[Path, Path]]:
    """Return the folders of images and of labels by split."""
    images, labels = one_folder(copy, IMAGE_FOLDERS), one_folder(copy, LABEL_FOLDERS)
    if images and labels:
        found = {}
        for split, names in SPLIT_FOLDERS.items():
            sides = (one_folder(images, names), one_folder(labels, names))
            if sides[0] is not None and sides[1] is not None:
                found[split] = (sides[0], sides[1])
            elif any(sides):
                lacking, there = (labels, sides[0]) if sides[0] else (images, sides[1])
                raise PrepareError(f"{there} has no counterpart in {lacking}")
        return _complete(copy, found or {"all": (images, labels)})
    found = {}
    for split, names in SPLIT_FOLDERS.items():
        if (top := one_folder(copy, names)) is None:
            continue
        images, labels = one_folder(top, IMAGE_FOLDERS), one_folder(top, LABEL_FOLDERS)
        if images is None or labels is None:
            raise PrepareError(
                f"{top} does not have both, images and labels; what is expected: {LAYOUTS}"
            )
        found[split] = (images, labels)
    if not found:
        entries = [entry.name for entry in copy.iterdir() if not entry.name.startswith(".")]
        raise PrepareError(f"{copy} has {some(entries)}; what is expected: {LAYOUTS}")
    return _complete(copy, found)


def _complete(copy: Path, found: dict[str, tuple[Path, Path]]) -> dict[str, tuple[Path, Path]]:
    if found.keys() == {"val"}:
        raise PrepareError(f"{copy} has val, but no train")
    return {"all": found["train"]} if found.keys() == {"train"} else found


def _listed(copy: Path) -> dict[str, list[Pair]]:
    """Return the pairs that the lists of a set like PASCAL VOC name."""
    images, labels = copy / "JPEGImages", copy / "SegmentationClass"
    if not (images.is_dir() and labels.is_dir()):
        raise PrepareError(f"{copy} has {LISTS}, but not both, {images.name} and {labels.name}")
    lists = {split: copy / LISTS / f"{split}.txt" for split in ("train", "val", "trainval")}
    if lists["train"].exists() and lists["val"].exists():
        wanted = {"train": lists["train"], "val": lists["val"]}
    else:
        whole = next((lists[s] for s in ("trainval", "train") if lists[s].exists()), None)
        if whole is None:
            raise PrepareError(f"{copy / LISTS} has no train.txt")
        wanted = {"all": whole}
    known, found = _images(images), {}
    for split, place in wanted.items():
        # Lists of PASCAL VOC's single classes have a second column.
        lines = [line.strip() for line in _lines(place) if line.strip()]
        names = [line if line in known else line.split()[0] for line in lines]
        if twice := [name for name, times in Counter(names).items() if times > 1]:
            raise PrepareError(f"{place} names {some(twice)} twice")
        if without := [name for name in names if name not in known]:
            raise PrepareError(f"{place} names {some(without)}, which {images} does not have")
        found[split] = _pairs({name: known[name] for name in names}, images, labels, listed=True)
    return found


def _lines(place: Path) -> list[str]:
    try:
        return place.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise PrepareError(f"{place} is no text in UTF-8 ({error})") from error


def _files(folder: Path) -> dict[str, list[Path]]:
    """Return the images below a folder, by their names without the ending; it follows links."""
    found: dict[str, list[Path]] = {}
    for parent, below, names in os.walk(folder, followlinks=True):
        below[:] = [each for each in below if not each.startswith(".")]
        for path in sorted(Path(parent, name) for name in names if not name.startswith(".")):
            if path.suffix.lower() in SUFFIXES:
                name = path.relative_to(folder).with_suffix("").as_posix()
                found.setdefault(name, []).append(path)
    return found


def _images(folder: Path) -> dict[str, Path]:
    """Return the images below a folder by name; PrepareError if two have one."""
    return {
        stem.removesuffix(CITYSCAPES_END): _single(paths, "images")
        for stem, paths in _files(folder).items()
    }


def _single(paths: list[Path], what: str) -> Path:
    if len(paths) > 1:
        raise PrepareError(f"two {what} of one name: {paths[0]} and {paths[1]}")
    return paths[0]


def _pairs(
    images: Mapping[str, Path], folder: Path, labels: Path, listed: bool = False
) -> list[Pair]:
    """Return images with their labels; those that a list does not name are left out."""
    there, alone = _files(labels), []
    found: dict[str, Pair] = {}
    for name, image in sorted(images.items()):
        stem = image.relative_to(folder).with_suffix("").as_posix()
        label = next((each for each in _label_names(stem, name) if each in there), None)
        if label is None:
            alone.append(image.name)
        elif label in found:
            raise PrepareError(f"{found[label].image} and {image} have one label, {label}")
        else:
            found[label] = Pair(name, image, _single(there[label], "labels"))
    if alone:
        first = next((path.name for paths in there.values() for path in paths), "nothing")
        raise PrepareError(
            f"images of {folder} without a label in {labels}: {some(alone)}; a label has the name "
            f"of its image, or that name and one of {', '.join(LABEL_ENDS[1:])}; {labels} has "
            f"{first}"
        )
    beside = {f"{pair.name}{end}" for pair in found.values() for end in (*LABEL_ENDS, *OTHER_ENDS)}
    if not listed and (without := there.keys() - found.keys() - beside):
        raise PrepareError(f"labels of {labels} without an image in {folder}: {some(without)}")
    return list(found.values())


def _label_names(stem: str, name: str) -> Iterator[str]:
    """Yield what the label of an image may be called, the likeliest first."""
    yield stem
    bare = next((name.removesuffix(end) for end in IMAGE_ENDS if name.endswith(end)), name)
    for base in dict.fromkeys((name, bare)):
        for end in LABEL_ENDS:
            yield f"{base}{end}"
