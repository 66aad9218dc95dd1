"""COCO annotation files, as far as boxes need them (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["META_FILE", "Annotations", "image_folder"]

META_FILE = "meta.json"


def image_folder(data: Path, split: str) -> str:
    """Return what ``file_name`` in ``annotations/<split>.json`` is relative to.

    Parameters
    ----------
    data: Path
        A prepared data set.
    split: str
        train or val.

    Returns
    -------
    str
        A folder below `data`, with a slash at the end: ``images/``, unless ``meta.json`` gives
        each split a folder of its own, as COCO's splits have.
    """
    meta = data / META_FILE
    if not meta.is_file():
        return "images/"
    return json.loads(meta.read_text(encoding="utf-8"))["image_folders"][split]


class Annotations:
    """One annotation file in the making. Ids count from 1, those of the categories too.

    Parameters
    ----------
    description: str
        Goes into the file's ``info``.
    categories: sequence of str
        Class names; the first gets id 1.
    """

    def __init__(self, description: str, categories: Sequence[str]) -> None:
        self._content: dict[str, Any] = {
            "info": {"description": description},
            "categories": [{"id": i, "name": name} for i, name in enumerate(categories, 1)],
            "images": [],
            "annotations": [],
        }

    def add_image(self, file_name: str, width: int, height: int, **more: object) -> int:
        """Add an image of `width` x `height` pixels; return its id."""
        images = self._content["images"]
        entry = {"id": len(images) + 1, "file_name": file_name, "width": width, "height": height}
        images.append(entry | more)
        return len(images)

    def add_box(
        self,
        image: int,
        category: int,
        corners: tuple[int, int, int, int],
        *,
        crowd: bool = False,
        **more: object,
    ) -> None:
        """Add a box given by its corners (x0, y0, x1, y1) in pixels of the image.

        A crowd box is an ignored region: a detection inside it is neither right nor wrong.
        """
        x0, y0, x1, y1 = corners
        annotations = self._content["annotations"]
        entry = {
            "id": len(annotations) + 1,
            "image_id": image,
            "category_id": category,
            "bbox": [x0, y0, x1 - x0, y1 - y0],
            "area": (x1 - x0) * (y1 - y0),
            "iscrowd": int(crowd),
        }
        annotations.append(entry | more)

    def write(self, path: Path) -> Mapping[str, int]:
        """Write the file; return the numbers of images, boxes and crowd boxes in it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(self._content), encoding="utf-8")
        crowd = sum(entry["iscrowd"] for entry in self._content["annotations"])
        return {
            "images": len(self._content["images"]),
            "boxes": len(self._content["annotations"]) - crowd,
            "crowd": crowd,
        }
