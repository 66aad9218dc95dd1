"""Check images before training: each decodes, to what its user and its annotation mean.

Training decodes with OpenCV, through MMCV's ``LoadImageFromFile``. OpenCV is silent where it had to
guess: a cut JPEG becomes grey below the cut, 16 bits become 8, and an EXIF orientation turns the
image but not its annotation. So Pillow reads each file too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["check_images", "spread"]

SAMPLE = 100
"""Images of a published set that are decoded."""
ORIENTATION = 0x0112
"""The EXIF tag."""
TURNED = ("JPEG", "MPO", "PNG", "TIFF")
"""Formats that OpenCV turns by it, as viewers do; WebP it does not."""
MODES = frozenset({"1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK"})
"""Pillow's modes of 8 bits a channel that OpenCV turns into the same colours, CMYK roughly."""
TOLD_EVERY = 500

Fault = tuple[str, str]
"""What is the matter with an image: a word to count by, and the rest of a sentence about it."""


def check_images(
    paths: Sequence[Path],
    sizes: Sequence[tuple[int, int]] | None = None,
    whole: bool = True,
    progress: Callable[[str], None] = lambda doing: None,
    annotated: bool = True,
) -> tuple[str, ...]:
    """Read images as training will.

    Parameters
    ----------
    paths: sequence of Path
        Images. A message names the file that a link leads to.
    sizes: sequence of (int, int), optional
        Width and height in pixels that each must have.
    whole: bool
        Whether all are decoded. Of a published set the headers of all are read, but 100 images are
        decoded, evenly spaced, and what is odd about some is told, not refused: it is known so.
    progress: callable
        Told what is being done.
    annotated: bool
        Whether something is known of places in an image. If not, an EXIF orientation is fine where
        training turns the image as viewers do.

    Returns
    -------
    tuple of str
        Sentences about what training sees otherwise than a viewer of images may.

    Raises
    ------
    PrepareError
        If an image is missing, empty, cut, of no known format or of another size; has an EXIF
        orientation, more than 8 bits a channel or several frames. It names the first such file and
        counts those alike.
    """
    notes: dict[str, list[Path]] = {}
    faults = _Faults()
    decoded = range(len(paths)) if whole else spread(len(paths))
    for number, path in enumerate(paths):
        if number % TOLD_EVERY == 0:
            progress(f"looking at image {number + 1} of {len(paths)}")
        size = None if sizes is None else sizes[number]
        faults.add(path, _fault(path, size, whole, number in decoded, notes, annotated))
    faults.tell()
    return tuple(f"{some(path.name for path in found)} {what}" for what, found in notes.items())


class _Faults:
    """The images at fault, by kind."""

    def __init__(self) -> None:
        self.found: dict[str, tuple[str, list[Path]]] = {}

    def add(self, path: Path, fault: Fault | None) -> None:
        if fault is not None:
            kind, sentence = fault
            place = path.resolve()
            self.found.setdefault(kind, (f"{place} {sentence}", []))[1].append(place)

    def tell(self) -> None:
        """Raise PrepareError if there is one: the first, and how many more are like it."""
        for kind, (sentence, paths) in self.found.items():
            others = len(paths) - 1
            more = f". The same of {some(path.name for path in paths[1:])} more: {kind}"
            raise PrepareError(sentence + (more if others else ""))


def spread(number: int) -> frozenset[int]:
    """Return up to `SAMPLE` indices, evenly spaced, the first and the last among them."""
    wanted = min(SAMPLE, number)
    return frozenset(index * (number - 1) // max(1, wanted - 1) for index in range(wanted))


def _fault(
    path: Path,
    size: tuple[int, int] | None,
    whole: bool,
    decode: bool,
    notes: dict[str, list[Path]],
    annotated: bool,
) -> Fault | None:
    """Look at what a file says of itself, and at its pixels if it shall be decoded."""
    from PIL import Image

    if not path.exists():
        return "missing", "does not exist"
    if not path.is_file():
        return "no file", "is not a file"
    if not path.stat().st_size:
        return "empty", "is an empty file"
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as image:
            # Loading forgets the layout of the channels, and turns a TIFF; a PNG may have its EXIF
            # after the pixels.
            deep, turned = ";16" in str(image.tile), _orientation(image)
            if decode:
                image.load()
            for fault, told in _oddities(image, deep, turned or _orientation(image), annotated):
                if whole:
                    return fault
                notes.setdefault(told, []).append(path)
            if size is not None and image.size != size:
                return "size", _other_size(image.size, size)
            if image.mode == "CMYK":
                notes.setdefault("in CMYK: training sees OpenCV's conversion", []).append(path)
            if image.mode.endswith("A") or "transparency" in image.info:
                told = "with transparent pixels: training sees the colours below, not a background"
                notes.setdefault(told, []).append(path)
            found = image.size
    except Exception as error:  # Pillow's plugins raise whatever a broken file makes them
        return "unreadable", (
            f"cannot be read as an image ({error}); it is cut, damaged or of a format that is not "
            "known: get it again, or save it as PNG or JPEG"
        )
    return _decoded(path, found) if decode else None


def _orientation(image: Image) -> int | None:
    """Return the EXIF orientation if it is another than upright; decodes no pixel."""
    if image.format == "PNG" and "exif" not in image.info:
        return None
    found = image.getexif().get(ORIENTATION, 1)
    return found if found in range(2, 9) else None


def _oddities(
    image: Image, deep: bool, turned: int | None, annotated: bool
) -> Iterator[tuple[Fault, str]]:
    """Yield what a decoder would guess at, each as a fault and as a note.

    `deep` is whether a channel has 16 bits: Pillow's mode does not tell.
    """
    if turned is not None and annotated:
        yield (
            (
                "EXIF orientation",
                f"has the EXIF orientation {turned}: training would turn the image, but not its "
                "annotation. Turn the pixels themselves (mogrify -auto-orient FILE), or, if the "
                "annotation was made on the image as it is stored, remove the mark (mogrify "
                "-strip FILE)",
            ),
            "with an EXIF orientation: training turns the image, but not its annotation",
        )
    elif turned is not None and image.format not in TURNED:
        yield (
            (
                "EXIF orientation",
                f"has the EXIF orientation {turned}, by which viewers turn it and training would "
                "not. Turn the pixels themselves (mogrify -auto-orient FILE)",
            ),
            f"with an EXIF orientation: training does not turn {image.format} images",
        )
    if image.mode not in MODES or deep:
        yield (
            (
                "bit depth",
                f"is no image of 8 bits a channel (Pillow's mode {image.mode}"
                f"{', 16 bits' if deep else ''}): training would see only the "
                "upper 8 bits, or nothing. Scale it to 8 bits yourself, as grey or RGB",
            ),
            "with other than 8 bits a channel: training sees 8",
        )
    frames = 1 if image.format == "MPO" else getattr(image, "n_frames", 1)  # MPO: a JPEG and more
    if frames > 1:
        yield (
            ("frames", f"has {frames} frames, of which training would see the first; save one"),
            "of several frames: training sees the first",
        )


def _other_size(found: tuple[int, int], said: tuple[int, int]) -> str:
    swapped = "; width and height are swapped" if found == (said[1], said[0]) else ""
    return f"has {found[0]} x {found[1]} pixels, its annotation says {said[0]} x {said[1]}{swapped}"


def _decoded(path: Path, size: tuple[int, int]) -> Fault | None:
    """Decode a file as training does."""
    import cv2
    import mmcv
    import numpy as np

    try:
        seen = mmcv.imfrombytes(path.read_bytes(), flag="color", backend="cv2")
    except (cv2.error, AssertionError):
        seen = None
    if not isinstance(seen, np.ndarray):
        return "format", "cannot be read by OpenCV, as training does; save it as PNG or JPEG"
    if sorted(seen.shape[:2]) != sorted(size):
        return "decoders", f"is {size} for Pillow and {seen.shape[1::-1]} for OpenCV; save it again"
    return None
