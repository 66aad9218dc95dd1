"""The door for a user's own images with label images: ``study data add masks``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from plugins.contracts.copies import link
from plugins.contracts.dataset import PrepareError
from plugins.contracts.doors import Door, DoorOptions
from plugins.segmentation.data import pairs
from plugins.segmentation.data.layout import (
    IMAGE_END,
    IMAGES,
    LABEL_END,
    LABELS,
    MOST_CLASSES,
    write_classes,
)
from plugins.segmentation.data.numbers import Numbers

__all__ = ["MaskOptions", "Masks"]

COLOUR = re.compile(r"#?([0-9a-fA-F]{6})")
TOLD_EVERY = 25


def _words(text: Any) -> Any:
    return [word.strip() for word in text.split(",")] if isinstance(text, str) else text


def _colour(word: Any) -> Any:
    found = COLOUR.fullmatch(word) if isinstance(word, str) else None
    if found is None:
        raise ValueError(f"{word!r} is no colour such as #ffd300")
    return f"#{found[1].lower()}"


def _value(word: Any) -> Any:
    """Take a whole number, or a colour that begins with #."""
    if str(word).startswith("#"):
        return _colour(word)
    try:
        return int(word)
    except ValueError:
        raise ValueError(f"{word!r} is neither a number nor a colour such as #ffd300") from None


Words = BeforeValidator(_words)
Colour = Annotated[str, BeforeValidator(_colour)]


class MaskOptions(DoorOptions):
    """What a user says of label images.

    Attributes
    ----------
    classes: tuple of str
        Their names, in the order of their numbers.
    values: tuple of int
        The value of each class in the labels; 0, 1, ... if not given.
    colours: tuple of str
        The colour of each class, for labels in colour.
    ignore: tuple of int or str
        Values, or colours, that mean no class; 255 does anyway, unless it is a class.
    val_share: float, optional
        Which part becomes val if the folder has no val.
    """

    classes: Annotated[tuple[str, ...], Words] = Field((), description="names of the classes")
    values: Annotated[tuple[int, ...], Words] = Field((), description="the value of each class")
    colours: Annotated[tuple[Colour, ...], Words] = Field(
        (), description="the colour of each class, in labels in colour"
    )
    ignore: Annotated[tuple[Annotated[int | str, BeforeValidator(_value)], ...], Words] = Field(
        (), description="values or colours that mean no class"
    )
    val_share: float | None = Field(
        None, gt=0, lt=1, description="part of the images that becomes val, if there is no val"
    )


class Masks(Door):
    """Images with a label image each, in one of the layouts that are in use."""

    task = "segmentation"
    Options = MaskOptions
    content = "images with a class a pixel"
    unit = "images"
    packages = ("numpy", "pillow")
    where = pairs.LAYOUTS

    def prepare(
        self, copy: Path, out: Path, options: MaskOptions, progress: Callable[[str], None]
    ) -> dict[str, Any]:
        """Link images, and labels that are right as they are; write the other labels anew."""
        if not copy.is_dir():
            state = "is not a folder" if copy.exists() else "does not exist"
            raise PrepareError(f"{copy} {state}; what is expected: {self.where}")
        classes, palette = _classes(copy, options)
        progress("looking for images and labels")
        found_pairs = _splits(copy, options)
        numbers = Numbers(classes, options.values, options.colours, options.ignore)
        for split, found in found_pairs.items():
            for number, pair in enumerate(found):
                if number % TOLD_EVERY == 0:
                    progress(f"label {number + 1} of {len(found)} of {split}")
                link(pair.image, out / IMAGES / split / f"{pair.name}{IMAGE_END}")
                numbers.write(pair.label, out / LABELS / split / f"{pair.name}{LABEL_END}")
        numbers.refuse_unknown()
        write_classes(out, classes, numbers.palette(palette))
        return {"items": {split: len(found) for split, found in found_pairs.items()}}


def _classes(copy: Path, options: MaskOptions) -> tuple[list[str], list[tuple[int, ...]]]:
    """Return names, and colours if a file says them."""
    names, palette, source = list(options.classes), [], "classes"
    if not names:
        try:
            if (file := copy / "meta.json").exists():
                meta = json.loads(file.read_text(encoding="utf-8"))
                names, palette = list(meta["classes"]), list(map(tuple, meta.get("palette", [])))
            elif (file := copy / "classes.txt").exists():
                lines = file.read_text(encoding="utf-8-sig").splitlines()
                names = [line.strip() for line in lines if line.strip()]
            else:
                raise PrepareError(
                    "the classes are not known; name them in the order of their numbers, such as "
                    f"-o classes=background,field,forest, or put {copy / 'classes.txt'} there, a "
                    "name a line"
                )
        except (ValueError, KeyError, TypeError) as error:
            raise PrepareError(
                f"{file} does not say the classes ({type(error).__name__}: {error})"
            ) from error
        source = str(file)
    if not all(isinstance(name, str) and name for name in names) or len(set(names)) < len(names):
        raise PrepareError(f"{source} must be different names, not {', '.join(map(str, names))}")
    if not 2 <= len(names) <= MOST_CLASSES:
        raise PrepareError(
            f"{source} names {len(names)} class{'es' * (len(names) != 1)}; 2 to {MOST_CLASSES} are "
            "possible. What is no object is a class too, such as background"
        )
    return names, palette


def _splits(copy: Path, options: MaskOptions) -> dict[str, list[pairs.Pair]]:
    found = pairs.find(copy)
    if "all" not in found:
        if options.val_share is not None:
            raise PrepareError(f"val_share={options.val_share:g}, but {copy} has a val already")
        return found
    if options.val_share is None:
        raise PrepareError(
            f"{copy} does not say which of its {len(found['all'])} images are val; let a share of "
            "them be it: -o val_share=0.2"
        )
    return pairs.share(found["all"], options.val_share)
