"""What is in the images of a set that says so, object by object.

::

    objects/SPLIT.jsonl    {"image": ..., "objects": [{"class": "six", "ink": "white",
                           "box": [left, top, width, height]}, ...]}

All entries of an object but its box are names of what it is like.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.rows import Box

__all__ = ["attributes", "cells_within", "in_cells", "read_objects", "shares"]

Objects = Mapping[str, Sequence[Mapping[str, Any]]]
BOX = "box"


def read_objects(folder: Path, split: str) -> dict[str, list[dict[str, Any]]]:
    """Return the objects of each image; PrepareError if the file is not as it should be."""
    path = folder / "objects" / f"{split}.jsonl"
    found: dict[str, list[dict[str, Any]]] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise PrepareError(
            f"{path} cannot be read ({error}): the set says nothing of objects to learn to see by,"
            " so set visual_epochs to 0"
        ) from error
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            for each in row["objects"]:
                _, _, _, _ = each[BOX]
            found[row["image"]] = row["objects"]
        except (KeyError, TypeError, ValueError) as error:
            raise PrepareError(
                f"{path}, line {number}: no objects of an image ({error!r})"
            ) from error
    return found


def attributes(objects: Objects) -> dict[str, tuple[str, ...]]:
    """Return the names of each attribute that objects have, sorted."""
    found: dict[str, set[str]] = {}
    for each in objects.values():
        for one in each:
            for name, value in one.items():
                if name != BOX:
                    found.setdefault(name, set()).add(value)
    return {name: tuple(sorted(values)) for name, values in sorted(found.items())}


def in_cells(
    objects: Sequence[Mapping[str, Any]],
    known: Mapping[str, Sequence[str]],
    size: tuple[int, int],
    cells: tuple[int, int],
) -> np.ndarray:
    """Return the names in each cell by number, (attributes, rows, columns).

    The number after those of the names is that of a cell that is in no object with this attribute.

    Parameters
    ----------
    objects, known
        Of an image, and the `attributes` of all.
    size, cells: (int, int)
        Height and width of the image; rows and columns.
    """
    named = np.empty((len(known), *cells), np.int64)
    for number, (attribute, names) in enumerate(known.items()):
        named[number] = len(names)
        for each in objects:
            if attribute in each:
                inside = cells_within([shares(each[BOX], size)], cells)
                named[number][inside] = names.index(each[attribute])
    return named


def cells_within(boxes: Iterable[Sequence[float]], cells: tuple[int, int]) -> np.ndarray:
    """Return whether the middle of each cell is in one of the boxes, (rows, columns).

    So is the cell with the middle of a box, which may be smaller than a cell. Boxes are left, top,
    right and bottom as shares of the image.
    """
    rows, columns = ((np.arange(number) + 0.5) / number for number in cells)
    inside = np.zeros(cells, bool)
    for left, top, right, bottom in boxes:
        down, across = (top <= rows) & (rows < bottom), (left <= columns) & (columns < right)
        inside |= down[:, None] & across[None]
        middle = (top + bottom) / 2, (left + right) / 2
        row, column = (int(at * n) for at, n in zip(middle, cells, strict=True))
        inside[min(max(row, 0), cells[0] - 1), min(max(column, 0), cells[1] - 1)] = True
    return inside


def shares(box: Box, size: tuple[int, int]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom of a box as shares of an image of height and width."""
    left, top, width, height = box
    return (
        left / size[1],
        top / size[0],
        (left + width) / size[1],
        (top + height) / size[0],
    )
