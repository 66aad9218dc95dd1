"""Check a prepared set before training: images, classes, and what is measured on them."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plugins.classification.data.layout import (
    BOXES,
    CLASSES,
    SPLITS,
    find_images,
    read_boxes,
    read_classes,
)
from plugins.contracts.copies import readable_image, some
from plugins.contracts.dataset import Checked, PrepareError
from plugins.openmmlab.data.own_files import alike
from plugins.openmmlab.images import check_images, spread

__all__ = ["check"]

SMALLEST_IMAGE = 2
"""Pixels of a side, below which an image is a placeholder that shows nothing."""

HALF = 0.5

Box = tuple[float, float, float, float]
Labelled = Sequence[tuple[str, int]]
Sizes = Mapping[str, tuple[int, int]]


def check(folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    """Read a prepared set as training and evaluation will.

    Of a published set 100 images a split are decoded, and the others only looked for.

    Returns
    -------
    Checked
        ``images`` of each class by split, and the ``sizes`` of those that were opened: the
        smallest, middle and largest width and height in pixels. Notes on what is missing.

    Raises
    ------
    PrepareError
        As :meth:`plugins.contracts.task.ChecksData.check_data` does.
    """
    classes = list(read_classes(folder).values())
    images = {split: find_images(folder, split) for split in SPLITS}
    for split, found in images.items():
        if not found:
            raise PrepareError(f"{split} of {folder} has no image in the folders of {CLASSES}")
    boxes = read_boxes(folder)
    notes: list[str] = []
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    for split, found in images.items():
        _refuse_empty(folder, found)
        opened = [found[n][0] for n in (range(len(found)) if whole else sorted(spread(len(found))))]
        notes += check_images(
            [folder / path for path in opened],
            whole=whole,
            progress=lambda doing, split=split: progress(f"{split}: {doing}"),  # type: ignore[misc]
            annotated=bool(boxes),
        )
        sizes[split] = {path: _size(folder / path) for path in opened}
    _refuse_tiny(folder, {path: size for found in sizes.values() for path, size in found.items()})
    notes += _about_classes(classes, images)
    notes += _about_boxes(boxes, images, sizes)
    if whole:
        progress("looking for images that are there twice")
        notes += _about_copies(folder, images)
    counts = {
        "images": {split: _by_class(classes, found) for split, found in images.items()},
        "sizes": {split: _summary(list(found.values())) for split, found in sizes.items()},
    }
    return Checked(counts, tuple(notes))


def _refuse_empty(folder: Path, found: Labelled) -> None:
    """Raise PrepareError if images are gone, or have no content: this reads none of them."""
    for path, _ in found:
        file = folder / path
        if not file.exists():
            raise PrepareError(f"{file.resolve()} does not exist")
        if not file.stat().st_size:
            raise PrepareError(f"{file.resolve()} is an empty file")


def _size(file: Path) -> tuple[int, int]:
    """Return width and height, as the file stores the image; its EXIF may turn it."""
    from PIL import Image

    with readable_image(file), Image.open(file) as image:
        return image.size


def _refuse_tiny(folder: Path, sizes: Sizes) -> None:
    tiny = [path for path, size in sizes.items() if min(size) < SMALLEST_IMAGE]
    if tiny:
        width, height = sizes[tiny[0]]
        more = f"; {some(Path(path).name for path in tiny)} are like it" * (len(tiny) > 1)
        raise PrepareError(
            f"{(folder / tiny[0]).resolve()} has {width} x {height} pixels and shows nothing, as "
            f"placeholders for lost images do; put it away{more}"
        )


def _by_class(classes: Sequence[str], found: Labelled) -> dict[str, int]:
    number = Counter(label for _, label in found)
    return {name: number[label] for label, name in enumerate(classes)}


def _about_classes(classes: Sequence[str], images: Mapping[str, Labelled]) -> Iterator[str]:
    """Tell of classes without images; PrepareError if val asks for what train does not show."""
    found = {split: _by_class(classes, images[split]) for split in SPLITS}
    without = {split: [name for name in classes if not found[split][name]] for split in SPLITS}
    if unknown := [name for name in without["train"] if found["val"][name]]:
        raise PrepareError(
            f"val has images of {some(map(repr, unknown))}, of which train has none: they cannot "
            "be learned"
        )
    if len(classes) - len(without["train"]) < 2:
        raise PrepareError("train has images of one class only: there is nothing to tell apart")
    if without["train"]:
        yield f"classes without an image to learn from: {some(map(repr, without['train']))}"
    if only := [name for name in without["val"] if found["train"][name]]:
        yield f"classes without an image in val, which count nothing there: {some(map(repr, only))}"
    for split in SPLITS:
        largest = max(found[split].values()) / sum(found[split].values())
        if largest > HALF:
            name = max(found[split], key=lambda each: found[split][each])
            yield (
                f"{largest:.0%} of the images of {split} are of {name!r}: a model that always says "
                "so is right as often"
            )


def _about_boxes(
    boxes: Mapping[str, Box], images: Mapping[str, Labelled], sizes: Mapping[str, Sizes]
) -> Iterator[str]:
    """Tell of boxes that leave their image; PrepareError if one lies outside, or has no image."""
    known = {path for found in images.values() for path, _ in found}
    # There may be boxes of other splits, such as test.
    strange = [p for p in boxes if p.partition("/")[0] in SPLITS and p not in known]
    if strange:
        raise PrepareError(f"{BOXES} has boxes of images that are not there: {some(strange)}")
    beyond = []
    for path, (width, height) in ((p, s) for found in sizes.values() for p, s in found.items()):
        if (box := boxes.get(path)) is None:
            continue
        x, y, right, bottom = box[0], box[1], box[0] + box[2], box[1] + box[3]
        if x >= width or y >= height or right <= 0 or bottom <= 0:
            raise PrepareError(
                f"{BOXES}: the box {list(box)} of {path} lies outside of the image, which has "
                f"{width} x {height} pixels"
            )
        if x < -1 or y < -1 or right > width + 1 or bottom > height + 1:
            beyond.append(path)
    if beyond:
        yield f"{some(beyond)} boxes leave their images"


def _about_copies(folder: Path, images: Mapping[str, Labelled]) -> Iterator[str]:
    """Tell of images that are in both splits, or under two classes."""
    found = [(split, *image) for split in SPLITS for image in images[split]]
    both, torn = [], []
    for group in alike([folder / path for _, path, _ in found]):
        if len({found[number][0] for number in group}) > 1:
            both += [found[number][1] for number in group if found[number][0] == "val"]
        if len({found[number][2] for number in group}) > 1:
            torn.append(" = ".join(found[number][1] for number in group[:2]))
    if both:
        yield (
            f"{some(both)} images of val are in train too: what is measured on them was learned by "
            "heart"
        )
    if torn:
        yield f"images that are of two classes: {some(torn)}"


def _summary(sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Return the smallest, middle and largest width and height."""
    widths, heights = zip(*sizes, strict=True)
    return {
        name: [int(each(widths)), int(each(heights))]
        for name, each in (("smallest", min), ("middle", statistics.median), ("largest", max))
    }
