"""Read a COCO annotation file as training and evaluation will, and refuse what these get wrong.

MMDetection and pycocotools check little. An annotation of id 0 counts as not found, one of no
image or of a width below zero vanishes, and numbers in quotes end a training hours later.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Annotated", "Entry", "read"]

LISTS = ("images", "annotations", "categories")
NUMBERS = frozenset({int, float})
IDS = frozenset({int, str})
OUTSIDE = 1.0
"""Pixels by which a box may leave its image: tools round."""
SMALLEST = 1.0
"""Pixels; ``CocoDataset`` drops boxes that are narrower or lower."""

Entry = dict[str, Any]


@dataclass
class Annotated:
    """What an annotation file says.

    Attributes
    ----------
    file: Path
        For messages: where it lies in truth.
    classes: dict
        Name of each category id, in the order of the ids.
    images: dict
        The entry of each image id, in the order of the file, which is that of training.
    annotations: list of dict
        Each has an image, a category and a box.
    boxes: numpy.ndarray
        Of each annotation x, y, width, height in pixels, (N, 4).
    crowd, dropped: numpy.ndarray
        Whether it is an ignored region; whether ``CocoDataset`` leaves it out of training, as it
        does with boxes below a pixel, (N,).
    mended: Counter
        What was put right, and how often.
    """

    file: Path
    classes: dict[Any, str]
    images: dict[Any, Entry]
    annotations: list[Entry]
    boxes: np.ndarray
    crowd: np.ndarray
    dropped: np.ndarray
    mended: Counter[str] = field(default_factory=Counter)


def read(file: Path, mend: bool = False, published: bool = False) -> Annotated:
    """Read one annotation file and check that it agrees with itself.

    Parameters
    ----------
    file: Path
        In COCO's format.
    mend: bool
        Whether what has one meaning only is put right: a missing ``area`` or ``iscrowd``, and ids
        of any type, which whoever writes the entries will number anew.
    published: bool
        Whether boxes outside their image, and areas of 0, are what everybody trains on.

    Raises
    ------
    PrepareError
        With the file and the entry that is wrong.
    """
    shown = file.resolve()
    content = _content(file, shown, mend)
    classes = _classes(shown, content["categories"])
    images = _images(shown, content["images"])
    reader = _Reader(shown, classes, images, mend, published)
    for index, entry in enumerate(content["annotations"]):
        reader.take(index, entry)
    return reader.done(content["annotations"])


def _content(file: Path, shown: Path, mend: bool) -> dict[str, Any]:
    try:
        # Training reads UTF-8 without a mark; what is written anew may have been anything.
        content = json.loads(file.read_bytes() if mend else file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PrepareError(f"{shown} does not exist") from None
    except (ValueError, RecursionError) as error:
        raise PrepareError(
            f"{shown} is no JSON ({error}); export it, or take it from the archive again"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(content.get(k), list) for k in LISTS):
        has = (
            f"; it has {', '.join(map(str, content)) or 'nothing'}" if type(content) is dict else ""
        )
        raise PrepareError(
            f"{shown} is no file of annotated images: it needs the lists {', '.join(LISTS)}{has}. "
            "Those of test splits have no annotations, these are not public"
        )
    if empty := [name for name in LISTS if not content[name]]:
        more = "; those of test splits are not public" if empty == ["annotations"] else ""
        raise PrepareError(f"{shown} has no {' and no '.join(empty)}{more}")
    return content


def _classes(shown: Path, entries: list[Any]) -> dict[Any, str]:
    classes: dict[Any, str] = {}
    for index, entry in enumerate(entries):
        what = f"{shown}: categories[{index}]"
        identity = _identity(what, entry)
        if not isinstance(name := entry.get("name"), str) or not name.strip():
            raise PrepareError(f"{what} has no name")
        if identity in classes:
            raise PrepareError(
                f"{shown}: categories {classes[identity]!r} and {name!r} have one id, {identity}"
            )
        classes[identity] = name
    _one_type(shown, "categories", classes)
    return dict(sorted(classes.items()))


def _images(shown: Path, entries: list[Any]) -> dict[Any, Entry]:
    images: dict[Any, Entry] = {}
    names: set[str] = set()
    for index, entry in enumerate(entries):
        what = f"{shown}: images[{index}]"
        identity = _identity(what, entry)
        name = entry.get("file_name")
        if not isinstance(name, str) or not name:
            raise PrepareError(f"{what} has no file_name")
        place = PurePosixPath(name)
        if place.is_absolute() or ".." in place.parts or "\\" in name:
            raise PrepareError(
                f"{what}: file_name is {name}; a name below the folder of images is meant"
            )
        for side in ("width", "height"):
            value = entry.get(side)
            if type(value) not in NUMBERS or value != value or value <= 0 or value % 1:
                raise PrepareError(f"{what} ({name}): {side} is {value!r}, not a number of pixels")
        if identity in images:
            raise PrepareError(
                f"{shown} has two images of one id or file_name: {images[identity]['file_name']} "
                f"and {name} have the id {identity!r}"
            )
        if str(place) in names:
            raise PrepareError(f"{shown} has two images of one id or file_name: {name}")
        names.add(str(place))
        images[identity] = entry
    _one_type(shown, "images", images)
    return images


def _identity(what: str, entry: Any) -> Any:
    if not isinstance(entry, dict):
        raise PrepareError(f"{what} is {entry!r}, not an object with an id")
    identity = entry.get("id")
    if type(identity) not in IDS:
        raise PrepareError(f"{what}: id is {identity!r}, not a whole number")
    return identity


def _one_type(shown: Path, what: str, ids: dict[Any, Any]) -> None:
    if len({type(each) for each in ids}) > 1:
        words = some(repr(each) for each in ids if isinstance(each, str))
        raise PrepareError(f"{shown}: ids of {what} are numbers and text: {words}; use numbers")


class _Reader:
    """The columns of a file's annotations, as they are checked."""

    def __init__(
        self,
        shown: Path,
        classes: dict[Any, str],
        images: dict[Any, Entry],
        mend: bool,
        published: bool,
    ) -> None:
        self.shown, self.classes, self.images = shown, classes, images
        self.mend, self.published = mend, published
        self.boxes: list[list[float]] = []
        self.crowd: list[bool] = []
        self.areas: list[float] = []
        self.ids: set[Any] = set()
        self.mended: Counter[str] = Counter()

    def refuse(self, index: int, entry: Any, what: str) -> NoReturn:
        identity = entry.get("id") if isinstance(entry, dict) else None
        known = f"annotation {identity}" if isinstance(identity, int) else f"annotations[{index}]"
        space = "" if what.startswith(":") else " "
        raise PrepareError(f"{self.shown}: {known}{space}{what}")

    def take(self, index: int, entry: Any) -> None:
        """Check one annotation."""
        if type(entry) is not dict:
            self.refuse(index, entry, f"is {entry!r}, not an object")
        self._check_id(index, entry)
        for key, known in (("image_id", self.images), ("category_id", self.classes)):
            value = entry.get(key)
            if type(value) not in IDS:
                found = f"has no {key}" if value is None else f": {key} is {value!r}"
                self.refuse(index, entry, found)
            if value not in known:
                self.refuse(index, entry, f"is of {key[:-3]} {value!r}, which is not listed")
        box = entry.get("bbox")
        if type(box) is not list or len(box) != 4 or not NUMBERS.issuperset(map(type, box)):
            found = "is missing" if box is None else f"is {box}"
            self.refuse(index, entry, f": bbox {found}, not four numbers x, y, width, height")
        self.boxes.append(box)
        self._check_marks(index, entry, box)

    def _check_id(self, index: int, entry: Entry) -> None:
        identity = entry.get("id")
        if type(identity) is int and identity and identity not in self.ids:
            self.ids.add(identity)
        elif self.mend:
            self.mended["no id of their own (missing, 0, text or twice), numbered anew"] += 1
        elif type(identity) is not int:
            raise PrepareError(
                f"{self.shown}: annotations[{index}]: id is {identity!r}, not a whole number; "
                "evaluation needs numbers from 1"
            )
        elif not identity:
            raise PrepareError(
                f"{self.shown}: annotations[{index}] has the id 0, which evaluation takes for 'not "
                "found'; number annotations from 1"
            )
        else:
            raise PrepareError(
                f"{self.shown}: annotations[{index}] has the id {identity}, as another has; number "
                "annotations from 1"
            )

    def _check_marks(self, index: int, entry: Entry, box: list[float]) -> None:
        crowd, ignore = entry.get("iscrowd"), entry.get("ignore")
        area: Any = entry.get("area")
        if crowd is None and self.mend:
            self.mended["no iscrowd, now 0"] += 1
            crowd = 0
        elif crowd not in (0, 1):
            found = "has no iscrowd" if crowd is None else f": iscrowd is {crowd!r}"
            self.refuse(index, entry, f"{found}; 0 is meant, or 1 for a region to ignore")
        if ignore and not crowd:
            if not self.mend:
                self.refuse(
                    index, entry, "has ignore, which training obeys and evaluation does not; set "
                    "iscrowd to 1, or leave the annotation out"
                )  # fmt: skip
            self.mended["ignore, now iscrowd"] += 1
            crowd = 1
        fine = type(area) in NUMBERS and area > 0
        if not fine and self.mend:
            self.mended["no area, now width x height"] += 1
            area = box[2] * box[3]
        elif not fine and not self._may_be_0(area, box):
            found = "has no area" if area is None else f": area is {area!r}"
            self.refuse(index, entry, f"{found}; square pixels are meant, width x height of a box")
        if self.mend:
            entry["area"], entry["iscrowd"] = area, int(crowd)
        self.crowd.append(bool(crowd))
        self.areas.append(area if type(area) in NUMBERS else 0)

    def _may_be_0(self, area: Any, box: list[float]) -> bool:
        """Tell whether training leaves the box out, which it does by the area of 0 too."""
        small = self.published or min(box[2:]) < SMALLEST
        return type(area) in NUMBERS and area <= 0 and small

    def done(self, annotations: list[Entry]) -> Annotated:
        """Check the boxes, all at once."""
        import numpy as np

        boxes = np.array(self.boxes, dtype=float).reshape(-1, 4)
        sizes = {key: (image["width"], image["height"]) for key, image in self.images.items()}
        limits = np.array([sizes[entry["image_id"]] for entry in annotations], dtype=float)
        with np.errstate(invalid="ignore"):
            ends = boxes[:, :2] + boxes[:, 2:]
        inside = np.minimum(ends, limits) - np.maximum(boxes[:, :2], 0)
        self._check_boxes(annotations, boxes, ends, limits)
        return Annotated(
            self.shown,
            self.classes,
            self.images,
            annotations,
            boxes,
            np.array(self.crowd, dtype=bool),
            (boxes[:, 2:] < SMALLEST).any(axis=1)
            | (inside <= 0).any(axis=1)
            | (np.array(self.areas) <= 0),
            self.mended,
        )

    def _check_boxes(
        self, annotations: list[Entry], boxes: np.ndarray, ends: np.ndarray, limits: np.ndarray
    ) -> None:
        import numpy as np

        if (np.abs(boxes) <= 1).all() and (ends <= 1.01).all():
            raise PrepareError(
                f"{self.shown}: all boxes lie within 0 and 1, as shares of the image; pixels are "
                "meant: multiply x and width by the image's width, y and height by its height"
            )
        outside = (boxes[:, :2] < -OUTSIDE).any(axis=1) | (ends > limits + OUTSIDE).any(axis=1)
        as_corners = (boxes[:, 2:] > boxes[:, :2]).all() and (
            boxes[:, 2:] <= limits + OUTSIDE
        ).all()
        hint = (
            "; the boxes look like x, y, x, y: x, y, width, height are meant" if as_corners else ""
        )
        sentences = [
            (~np.isfinite(boxes).all(axis=1), "not four finite numbers"),
            ((boxes[:, 2:] < 0).any(axis=1), "of a width or height below 0"),
        ]
        if not self.published:
            sentences.append((outside, f"which leaves its image of {{}} x {{}} pixels{hint}"))
        for wrong, sentence in sentences:
            if wrong.any():
                index = int(wrong.argmax())
                size = (f"{side:g}" for side in limits[index])
                more = f" ({wrong.sum()} boxes in all)" if wrong.sum() > 1 else ""
                box = annotations[index]["bbox"]
                self.refuse(
                    index, annotations[index], f": bbox is {box}, {sentence.format(*size)}{more}"
                )
