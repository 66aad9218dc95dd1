"""The files of a prepared set: a folder a class, as for ImageNet. Imports no framework.

::

    classes.json             {"classes": {folder: name, ...}} in the order of the labels
    train/FOLDER/IMAGE       val/FOLDER/IMAGE; any depth below FOLDER
    boxes.json               optional: {"val/FOLDER/IMAGE": [x, y, width, height], ...} in pixels,
                             where the object is that gives an image its class
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from plugins.contracts.dataset import PrepareError

__all__ = [
    "ENDS",
    "SPLITS",
    "find_images",
    "read_boxes",
    "read_classes",
    "write_boxes",
    "write_classes",
]

CLASSES, BOXES = "classes.json", "boxes.json"
SPLITS = ("train", "val")
ENDS = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
"""How the names of images end, in small or capital letters."""

Box = tuple[float, float, float, float]


def read_classes(folder: Path) -> dict[str, str]:
    """Return the name of each class by its folder, in the order of the labels.

    Raises
    ------
    PrepareError
        If these are not two or more different names.
    """
    classes = _read(folder / CLASSES)
    found = classes.get("classes") if isinstance(classes, dict) else None
    named = isinstance(found, dict) and all(isinstance(n, str) and n for n in found.values())
    if not isinstance(found, dict) or not named or len(set(found.values())) < max(2, len(found)):
        raise PrepareError(
            f'{CLASSES} must be {{"classes": {{folder: name, ...}}}} with two or more different'
            f" names, not {classes!r:.200}"
        )
    return found


def write_classes(folder: Path, names: Mapping[str, str]) -> None:
    """Write the name of each class by its folder."""
    _write(folder / CLASSES, {"classes": dict(names)})


def find_images(folder: Path, split: str) -> list[tuple[str, int]]:
    """Return the images of a split with their labels, in the order of labels and names.

    A path is relative to `folder`, with slashes.
    """
    return [
        (f"{split}/{name}/{path}", label)
        for label, name in enumerate(read_classes(folder))
        for path in sorted(_below(folder / split / name))
    ]


def read_boxes(folder: Path) -> dict[str, Box]:
    """Return the boxes (x, y, width, height) of images by their paths; empty if there are none.

    Raises
    ------
    PrepareError
        If one of them is no box.
    """
    if not (folder / BOXES).exists():
        return {}
    found = _read(folder / BOXES)
    if not isinstance(found, dict):
        raise PrepareError(f"{BOXES} is no object of paths and boxes")
    for path, box in found.items():
        numbers = isinstance(box, list) and all(type(n) in (int, float) for n in box)
        if not numbers or len(box) != 4 or min(box[2:]) <= 0:
            raise PrepareError(
                f"{BOXES}: {path} must have [x, y, width, height] in pixels, not {box!r:.80}"
            )
    return {path: tuple(box) for path, box in found.items()}


def write_boxes(folder: Path, boxes: Mapping[str, Box]) -> None:
    """Write the box of each image by its path."""
    _write(folder / BOXES, {path: list(box) for path, box in boxes.items()})


def _below(folder: Path) -> Iterator[str]:
    """Yield the images below a folder, relative to it; links are followed."""
    for parent, _, files in os.walk(folder, followlinks=True):
        for name in files:
            if name.lower().endswith(ENDS) and not name.startswith("."):
                yield Path(parent, name).relative_to(folder).as_posix()


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise PrepareError(f"{path.name} cannot be read ({error})") from error


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
