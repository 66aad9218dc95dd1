"""Check a prepared set before training: images, labels, and what can be learned from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.copies import some
from plugins.contracts.dataset import Checked, PrepareError
from plugins.openmmlab.data.own_files import alike
from plugins.openmmlab.images import check_images
from plugins.segmentation.data import labels
from plugins.segmentation.data.layout import IGNORE, SPLITS, find_pairs, read_classes

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check"]

TOLD_EVERY = 100
HALF = 0.5


def check(folder: Path, whole: bool, progress: Callable[[str], None]) -> Checked:
    """Read a prepared set as training and evaluation will.

    All labels are decoded: their pixels are counted. Of a published set 100 images a split are.

    Returns
    -------
    Checked
        ``pixels`` of each class by split, ``pixels_without_class`` and ``images_without_class``;
        notes on what is missing.

    Raises
    ------
    PrepareError
        As :meth:`plugins.contracts.task.ChecksData.check_data` does.
    """
    classes: list[str] = read_classes(folder)["classes"]
    pairs = {split: find_pairs(folder, split) for split in SPLITS}
    notes: list[str] = []
    for split in SPLITS:
        images = [image for image, _ in pairs[split].values()]
        notes += check_images(images, whole=whole, progress=progress)
    if whole:
        notes += _twice(pairs)
    found = _Labels(folder, len(classes))
    for split in SPLITS:
        for number, (image, label) in enumerate(pairs[split].values()):
            if number % TOLD_EVERY == 0:
                progress(f"looking at label {number + 1} of {len(pairs[split])} of {split}")
            found.add(split, image, label)
    found.refuse_unknown()
    for split in SPLITS:
        notes += _notes(split, found.pixels[split], classes, found.empty[split], len(pairs[split]))
    if found.recoloured:
        notes.append(
            f"{some(found.recoloured)} labels show a class in another colour than others do; "
            "numbers count, not colours"
        )
    counts = {
        "pixels": {
            split: {name: found.pixels[split][c] for c, name in enumerate(classes)}
            for split in SPLITS
        },
        "pixels_without_class": {split: found.pixels[split][IGNORE] for split in SPLITS},
        "images_without_class": {split: found.empty[split] for split in SPLITS},
    }
    return Checked(counts, tuple(notes))


class _Labels:
    """What the labels of a set consist of."""

    def __init__(self, folder: Path, classes: int) -> None:
        self.folder, self.classes = folder, classes
        self.pixels: dict[str, Counter[int | float]] = {split: Counter() for split in SPLITS}
        self.empty: Counter[str] = Counter()
        self.unknown: list[tuple[str, int | float, int]] = []
        self.colours: dict[int, tuple[int, ...]] = {}
        self.recoloured: list[str] = []

    def add(self, split: str, image: Path, label: Path) -> None:
        """Read the label of an image."""
        import numpy as np
        from PIL import Image

        told = _told(label, self.folder)
        read = labels.open_label(label, told)
        values = np.asarray(read)
        if values.ndim != 2:
            raise PrepareError(f"{told} has {labels.colours_of(read)}; {_one_channel(read)}")
        with Image.open(image) as opened:
            size = opened.size
        if read.size != size:
            turned = "; width and height are swapped" if read.size == size[::-1] else ""
            raise PrepareError(
                f"{told} has {read.width} x {read.height} pixels, its image has {size[0]} x "
                f"{size[1]}{turned}: {_told(image, self.folder)}"
            )
        found = labels.count(values)
        known = [value for value in found if value in range(self.classes)]
        beyond = [value for value in found if value not in known and value != IGNORE]
        if beyond:
            self.unknown.append((told, beyond[0], found[beyond[0]]))
        self.pixels[split].update(found)
        self.empty[split] += not known
        for number, colour in labels.used_palette(read).items():
            if self.colours.setdefault(number, colour) != colour:
                self.recoloured.append(label.name)
                break

    def refuse_unknown(self) -> None:
        """Raise PrepareError if a value is beyond the classes."""
        if self.unknown:
            told, value, number = self.unknown[0]
            more = f", and {len(self.unknown) - 1} labels are like it" * (len(self.unknown) > 1)
            guess = labels.hint(sum(self.pixels.values(), Counter()), self.classes)
            raise PrepareError(
                f"{told} has the value {value} in {number} pixels, but there are {self.classes} "
                f"classes, 0 to {self.classes - 1}, and {IGNORE} for none{more}; {guess}"
            )


def _notes(
    split: str, pixels: Mapping[int | float, int], classes: list[str], empty: int, number: int
) -> list[str]:
    """Return what a user must know of a split; PrepareError if it is of no use."""
    there = [name for c, name in enumerate(classes) if pixels[c]]
    without = [repr(name) for name in classes if name not in there]
    ignored = pixels[IGNORE] / sum(pixels.values())
    if not there:
        raise PrepareError(
            f"no pixel of the {number} labels of {split} has a class: all are {IGNORE}, which "
            f"means none; classes count from 0 to {len(classes) - 1}"
        )
    if split == "train" and len(there) == 1:
        binary = (
            f"{IGNORE} means no class; if it is one here, as in masks of black and white, say so "
            f"with study data add masks: two classes and -o values=0,{IGNORE}"
        )
        raise PrepareError(
            f"the labels of train have one class only, {there[0]!r}, and no pixel of "
            f"{', '.join(without)}: there is nothing to learn"
            + (f"; {binary}" if pixels[IGNORE] else "")
        )
    notes = []
    if without:
        end = {
            "train": "which can then not be learned",
            "val": "mIoU leaves such a class out, or counts it as 0 if a model predicts it",
        }[split]
        notes.append(f"{split} has no pixel of {', '.join(without)}: {end}")
    if empty:
        notes.append(f"{empty} of {number} {split} labels have no pixel of a class")
    if ignored > HALF:
        notes.append(f"{ignored:.0%} of the pixels of {split} have no class ({IGNORE})")
    return notes


def _one_channel(image: Image) -> str:
    if len({band.tobytes() for band in image.split()}) == 1:
        return "all are equal: save one of them as a label of one channel"
    return (
        "a label has one, with the number of a class a pixel; study data add masks takes colours: "
        "-o colours=..."
    )


def _twice(pairs: Mapping[str, Mapping[str, tuple[Path, Path]]]) -> list[str]:
    """Tell of images of val that are in train too."""
    train, val = ([image for image, _ in pairs[split].values()] for split in SPLITS)
    groups = [group for group in alike(train + val) if group[0] < len(train)]
    both = [val[n - len(train)].name for group in groups for n in group if n >= len(train)]
    told = "images of val are in train too: what is measured on them was learned by heart"
    return [f"{some(both)} {told}"] if both else []


def _told(path: Path, folder: Path) -> str:
    """Return the file of its user that is meant; one that was made, as it lies in the set."""
    real, root = path.resolve(), folder.resolve()
    return str(real.relative_to(root) if real.is_relative_to(root) else real)
