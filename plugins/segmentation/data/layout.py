"""The files of a prepared set, whose layout is that of Cityscapes. Imports no framework."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError

__all__ = [
    "IGNORE",
    "IMAGES",
    "IMAGE_END",
    "LABELS",
    "LABEL_END",
    "MOST_CLASSES",
    "SPLITS",
    "find_pairs",
    "read_classes",
    "write_classes",
]

IMAGES, LABELS = "leftImg8bit", "gtFine"
IMAGE_END, LABEL_END = "_leftImg8bit.png", "_gtFine_labelTrainIds.png"
SPLITS = ("train", "val")
IGNORE = 255
"""The value of a pixel without a class."""
MOST_CLASSES = IGNORE


def read_classes(folder: Path) -> dict[str, Any]:
    """Return ``classes`` and ``palette`` of a prepared set.

    Raises
    ------
    PrepareError
        If these are not 2 to 255 different names with a colour each.
    """
    place = folder / "meta.json"
    try:
        meta = json.loads(place.read_text(encoding="utf-8"))
        classes, palette = meta["classes"], meta["palette"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PrepareError(
            f"meta.json is no object with 'classes' and 'palette' ({type(error).__name__}: {error})"
        ) from error
    named = isinstance(classes, list) and all(isinstance(c, str) and c for c in classes)
    if not named or len(set(classes)) < len(classes) or not 2 <= len(classes) <= MOST_CLASSES:
        raise PrepareError(
            f"classes of meta.json must be 2 to {MOST_CLASSES} different names, not "
            f"{classes!r:.200}"
        )
    if not (
        isinstance(palette, list)
        and len(palette) == len(classes)
        and all(isinstance(colour, list) and len(colour) == 3 for colour in palette)
        and all(value in range(256) for colour in palette for value in colour)
    ):
        raise PrepareError(
            f"palette of meta.json must be {len(classes)} colours, one a class, each three numbers "
            f"from 0 to 255, not {palette!r:.200}"
        )
    return {"classes": classes, "palette": palette}


def write_classes(folder: Path, classes: Sequence[str], palette: Sequence[tuple[int, ...]]) -> None:
    """Write names and colours of the classes as ``meta.json``."""
    meta = {"classes": classes, "palette": palette, "ignore_index": IGNORE}
    (folder / "meta.json").write_text(json.dumps(meta, indent=1), encoding="utf-8")


def find_pairs(folder: Path, split: str) -> dict[str, tuple[Path, Path]]:
    """Return image and label of a split by name, in the order in which MMSegmentation has them.

    Raises
    ------
    PrepareError
        If there is none, or one of the two is missing.
    """
    images, labels = folder / IMAGES / split, folder / LABELS / split
    found = {name.removesuffix(IMAGE_END): images / name for name in _below(images, IMAGE_END)}
    known = {name.removesuffix(LABEL_END) for name in _below(labels, LABEL_END)}
    if not found:
        others = list(_below(images, ""))
        there = f"; it has {some(others)}" if others else ""
        raise PrepareError(
            f"{IMAGES}/{split} has no *{IMAGE_END}{there}. Images of any format have that ending "
            "here; study data add masks gives it to yours"
        )
    if without := found.keys() - known:
        raise PrepareError(f"{split} images without {LABEL_END[1:]}: {some(without)}")
    if without := known - found.keys():
        raise PrepareError(f"{split} labels without {IMAGE_END[1:]}: {some(without)}")
    return {
        name: (image, labels / f"{name}{LABEL_END}")
        for name, image in sorted(found.items(), key=lambda item: str(item[1]))
    }


def _below(folder: Path, end: str) -> Iterator[str]:
    """Yield the files below a folder that MMEngine lists, relative to it; it follows links."""
    for parent, _, files in os.walk(folder, followlinks=True):
        for name in files:
            if name.endswith(end) and not name.startswith("."):
                yield Path(parent, name).relative_to(folder).as_posix()
