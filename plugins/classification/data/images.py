"""The door for a user's own images in a folder a class: ``study data add images``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from plugins.classification.data.layout import ENDS, write_classes
from plugins.contracts.copies import link, some
from plugins.contracts.dataset import PrepareError
from plugins.contracts.doors import Door, DoorOptions
from plugins.openmmlab.data.own_files import SPLIT_FOLDERS, one_folder, plain, val_of

__all__ = ["ImageOptions", "Images"]

NO_CLASSES = ("__MACOSX",)
"""What archives and file browsers leave beside the classes; hidden folders are none either."""

Files = dict[str, dict[str, Path]]
"""The images of each class, by their paths below the class's folder."""


class ImageOptions(DoorOptions):
    """What a user may say of folders of images.

    Attributes
    ----------
    val_share: float, optional
        Which part of each class becomes val if the folder has no val.
    seed: int
        Another one draws other images for val.
    """

    val_share: float | None = Field(
        None, gt=0, lt=1, description="part of each class that becomes val, if there is no val"
    )
    seed: int = Field(0, description="another one draws other images for val")


class Images(Door):
    """Images in a folder a class, whose name is that of the class."""

    task = "classification"
    Options = ImageOptions
    content = "images with a class each"
    unit = "images"
    where = (
        "a folder a class, such as train/cat/1.jpg, train/dog/2.jpg and val/cat/3.jpg, or without "
        "train and val, cat/1.jpg and dog/2.jpg, and a share for val"
    )

    def prepare(
        self, copy: Path, out: Path, options: ImageOptions, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Link the images of each class."""
        if not copy.is_dir():
            state = "is not a folder" if copy.exists() else "does not exist"
            raise PrepareError(f"{copy} {state}; what is expected: {self.where}")
        progress("looking for images")
        notes: list[str] = []
        found = _splits(copy, options, notes)
        classes = _classes(copy, found, notes)
        for split, files in found.items():
            progress(f"linking the images of {split}")
            for name in classes:
                for below, file in files.get(name, {}).items():
                    link(file, out / split / name / below)
        write_classes(out, {name: name for name in classes})
        return {
            "items": {split: _number(files) for split, files in found.items()},
            "notes": notes,
        }


def _splits(copy: Path, options: ImageOptions, notes: list[str]) -> dict[str, Files]:
    """Return the images of train and val."""
    folders = {split: one_folder(copy, names) for split, names in SPLIT_FOLDERS.items()}
    train, val = folders["train"], folders["val"]
    if train and val:
        if options.val_share is not None:
            raise PrepareError(f"val_share={options.val_share:g}, but {copy} has {val.name}")
        return {"train": _read(train, notes), "val": _read(val, notes)}
    if val:
        raise PrepareError(f"{copy} has {val.name}, but no train; what is expected: {Images.where}")
    files = _read(train or copy, notes)
    if options.val_share is None:
        test = one_folder(copy, ("test", "testing"))
        also = f", or rename {test.name} if it may be looked at while you choose" if test else ""
        raise PrepareError(
            f"{copy} does not say which of its {_number(files)} images are val; let a share of "
            f"each class be it: -o val_share=0.2{also}"
        )
    parts: dict[str, Files] = {"train": {}, "val": {}}
    for name, images in files.items():
        drawn = val_of(
            (f"{name}/{below}" for below in images), options.val_share, f"{options.seed}"
        )
        # One image at least is to be learned.
        val_names = drawn if len(drawn) < len(images) else frozenset(sorted(drawn)[1:])
        for split, in_val in (("train", False), ("val", True)):
            parts[split][name] = {
                below: file
                for below, file in images.items()
                if (f"{name}/{below}" in val_names) is in_val
            }
    if not _number(parts["val"]):
        raise PrepareError(f"val_share divides classes of two images and more; {copy} has none")
    return parts


def _read(folder: Path, notes: list[str]) -> Files:
    """Return the images in the folders of the classes; tell of files that are none."""
    found: Files = {}
    others: list[str] = []
    loose = []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name in NO_CLASSES:
            continue
        if not entry.is_dir():
            if entry.name.lower().endswith(ENDS):
                loose.append(entry.name)
            continue
        found[entry.name] = {}
        for file in _files(entry):
            below = file.relative_to(entry).as_posix()
            if file.name.lower().endswith(ENDS):
                found[entry.name][below] = file
            else:
                others.append(f"{entry.name}/{below}")
    if loose:
        raise PrepareError(
            f"{folder} has images outside of the folders of the classes: {some(loose)}; put each "
            "into the folder of its class, or elsewhere"
        )
    if not _number(found):
        raise PrepareError(
            f"{folder} has no image in a folder of a class; files that end in {', '.join(ENDS)} "
            f"are images; what is expected: {Images.where}"
        )
    if others:
        notes.append(f"left out of {folder.name}, as no images by their endings: {some(others)}")
    return found


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder that are not hidden; follows links, each once."""
    seen = set()
    for parent, below, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above it, or a second one to the same
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (Path(parent, name) for name in sorted(names) if not name.startswith("."))


def _number(files: Files) -> int:
    return sum(map(len, files.values()))


def _classes(copy: Path, found: Mapping[str, Files], notes: list[str]) -> list[str]:
    """Return the classes of which train has an image, in the order of their names."""
    known: dict[str, str] = {}
    for split, files in found.items():
        for name in files:
            _refuse_undecodable([name, *files[name]], copy)
            other = known.setdefault(plain(name), name)
            if other != name:
                raise PrepareError(
                    f"{copy} has folders whose names look alike: {other!r} and {name!r} (of "
                    f"{split}); give a class one name"
                )
    train, val = (
        {name for name, images in found[split].items() if images} for split in ("train", "val")
    )
    if unknown := val - train:
        raise PrepareError(
            f"val of {copy} has images of {some(map(repr, unknown))}, of which train has none; "
            "put some into train, or the others away"
        )
    if len(train) < 2:
        (only,) = train
        inside = [each for each in sorted((copy / only).glob("*")) if each.is_dir()]
        hint = f"; if its folders are the classes: --from {copy / only}" if inside else ""
        raise PrepareError(
            f"{copy} has images of one class only, {only!r}: there is nothing to tell apart{hint}; "
            f"what is expected: {Images.where}"
        )
    if empty := set(known.values()) - train:
        notes.append(f"classes without an image, left out: {some(empty)}")
    return sorted(train)


def _refuse_undecodable(names: list[str], copy: Path) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise PrepareError(
                f"{copy} has a file or folder whose name is not in UTF-8: "
                f"{os.fsencode(name)!r}; rename it"
            ) from None
