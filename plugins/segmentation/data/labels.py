"""Read label images as MMSegmentation's ``LoadAnnotations`` does: with Pillow, unconverted.

A palette image gives the numbers of its pixels, not their colours. What ``LoadAnnotations`` then
casts to 8 bits must not change by it.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.contracts.dataset import PrepareError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

__all__ = ["colours_of", "count", "hint", "in_order", "open_label", "used_palette"]

ORIENTATION = 0x0112
"""The EXIF tag."""
LAST_ID = 33
"""Of Cityscapes' ``labelIds``, whose 19 evaluated classes have training numbers from 0 to 18."""
CITYSCAPES = 19
SHOWN = 8
MANY = 64
"""Values in a set's labels that no list of classes explains."""


def open_label(path: Path, told: str) -> Image:
    """Return a label image, decoded.

    Parameters
    ----------
    path: Path
        Of the file.
    told: str
        What a message calls it.

    Raises
    ------
    PrepareError
        If it cannot be decoded, is a JPEG, has several frames or an EXIF orientation, or is one
        pixel wide or high.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            image.load()
            turned = image.getexif().get(ORIENTATION, 1)
    except FileNotFoundError:
        raise PrepareError(f"{told} does not exist") from None
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them
        raise PrepareError(f"{told} cannot be read as an image ({error})") from error
    if image.format in ("JPEG", "MPO"):
        raise PrepareError(
            f"{told} is a JPEG, whose compression changes the classes of pixels; export the labels "
            "as PNG"
        )
    if (frames := getattr(image, "n_frames", 1)) > 1:
        raise PrepareError(f"{told} has {frames} frames; a label has one")
    if turned in range(2, 9):
        raise PrepareError(
            f"{told} has the EXIF orientation {turned}, which training ignores; turn the pixels "
            "themselves (mogrify -auto-orient FILE)"
        )
    if 1 in image.size:
        raise PrepareError(f"{told} has {image.width} x {image.height} pixels; 2 x 2 is the least")
    return image


def count(values: np.ndarray[Any, Any]) -> dict[int | float, int]:
    """Return how many pixels each value has."""
    import numpy as np

    if values.dtype == np.uint8:
        pixels = np.bincount(values.ravel(), minlength=256)
        return {int(value): int(pixels[value]) for value in np.flatnonzero(pixels)}
    found, numbers = np.unique(values, return_counts=True)
    return {
        int(value) if value.is_integer() else value: int(number)
        for value, number in zip(found.astype(float).tolist(), numbers, strict=True)
    }


def colours_of(image: Image) -> str:
    """Return how many channels and colours an image has, in words."""
    found: Any = image.convert("RGB").getcolors(image.width * image.height)
    ordered = ["#" + bytes(colour).hex() for _, colour in sorted(found, reverse=True)]
    more = ", ..." if len(ordered) > SHOWN else ""
    channels = "/".join(image.getbands())
    return f"{channels} channels with {len(ordered)} colours ({', '.join(ordered[:SHOWN])}{more})"


def used_palette(image: Image) -> dict[int, tuple[int, ...]]:
    """Return the colours of the numbers that occur in a palette image; none of another image."""
    import numpy as np

    if image.mode != "P" or image.palette is None:
        return {}
    colours = np.reshape(image.getpalette("RGB") or [], (-1, 3)).tolist()
    used = np.unique(np.asarray(image)).tolist()
    return {number: tuple(colours[number]) for number in used if number < len(colours)}


def in_order(values: Iterable[Any]) -> str:
    """Return values for a message, the first few of them."""
    ordered = sorted(values)
    return ", ".join(map(str, ordered[:SHOWN])) + (", ..." if len(ordered) > SHOWN else "")


def hint(pixels: Mapping[int | float, int], classes: int, ignored: int = 255) -> str:
    """Return what values beyond the classes 0, 1, ... may mean, and the way out, as a sentence.

    Parameters
    ----------
    pixels: mapping of number to int
        The values in all labels, and how many pixels have each.
    classes: int
        The number of classes.
    ignored: int
        The value of pixels without a class.
    """
    values = pixels.keys() - {ignored}
    door = "with study data add masks"
    if len(pixels) > MANY:
        return (
            f"{len(pixels)} different values occur: these are no classes, but a photo's or a "
            "confidence's; or they were scaled with interpolation"
        )
    if classes == CITYSCAPES and values <= {*range(-1, LAST_ID + 1)}:
        return (
            "these are Cityscapes' labelIds; *_gtFine_labelTrainIds.png has training numbers, and "
            "study data prepare cityscapes makes them"
        )
    if values == {*range(1, classes + 1)}:
        numbers = f"1,...,{classes}" if classes > SHOWN else ",".join(map(str, sorted(values)))
        return (
            f"the labels count from 1 to {classes}: subtract 1, or say so {door}: "
            f"-o values={numbers}"
        )
    if 0 in values and values <= {*range(classes + 1)}:
        return (
            f"are there {classes + 1} classes with that of 0? Or, if 0 means no class and the "
            f"classes count from 1, say so {door}: -o ignore=0"
        )
    said = f"the values are {in_order(pixels)}"
    if len(pixels) == classes:
        numbers = ",".join(map(str, sorted(pixels)))
        return f"{said}; if these are the classes, say so {door}: -o values={numbers}"
    return f"{said}; say what they mean {door}: -o values=..., or -o ignore=... for none"
