"""Features of boxes that somebody else's detector proposed in an image.

::

    features/ID.npz     or, in one HDF5 file for all images, a group ID, with
    features            (boxes, width), of each box
    boxes               (boxes, 4): left, top, right, bottom in pixels

ID is the name of the image without its end.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.contracts.dataset import PrepareError

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "FILE",
    "FOLDER",
    "Opened",
    "check_features",
    "image_with_features",
    "in_set",
    "open_features",
]

FOLDER, FILE = "features", "features.h5"
ARRAYS = ("features", "boxes")
BEYOND = 2
"""Pixels by which a box may leave its image: detectors round."""

Opened = Mapping[str, Any]
"""A mapping from an image's number to one of `ARRAYS` to values; an open HDF5 file is one."""


class _Folder(Mapping[str, Any]):
    """A folder of npz files as such a mapping; a file is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __getitem__(self, image: str) -> dict[str, np.ndarray]:
        import numpy as np

        try:
            with np.load(self.folder / f"{image}.npz", allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
        except FileNotFoundError:
            raise KeyError(image) from None

    def __iter__(self) -> Iterator[str]:
        return (file.stem for file in sorted(self.folder.glob("*.npz")))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def in_set(root: Path) -> Path | None:
    """Return the folder or the file of features that a prepared set has."""
    if (root / FOLDER).is_dir():
        return root / FOLDER
    return root / FILE if (root / FILE).is_file() else None


@contextmanager
def open_features(path: Path) -> Iterator[Opened]:
    """Open a folder of npz files, or an HDF5 file, for reading.

    Raises
    ------
    PrepareError
        If it is an HDF5 file and h5py is not installed, or it cannot be read as one.
    """
    if path.is_dir():
        yield _Folder(path)
        return
    try:
        import h5py  # type: ignore[import-not-found]
    except ImportError:
        raise PrepareError(
            f"{path} is an HDF5 file, and h5py is not installed: pip install h5py; or give a "
            f"folder {FOLDER} with an npz file an image"
        ) from None
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise PrepareError(f"{path} cannot be read as an HDF5 file ({error})") from error
    with file:
        yield file


def image_with_features(opened: Opened, path: str) -> tuple[np.ndarray, np.ndarray]:
    """Return features (boxes, width) and boxes (boxes, 4) by the path of an image."""
    import numpy as np

    entry = opened[Path(path).stem]
    features, boxes = (np.asarray(entry[name]) for name in ARRAYS)
    return features, boxes


def check_features(
    opened: Opened, where: Path, image: str, size: tuple[int, int] | None, width: int | None
) -> tuple[np.ndarray, int]:
    """Return an image's boxes and the width of its features.

    Parameters
    ----------
    opened: mapping
        As `open_features` gives it.
    where: Path
        What it was opened from, for messages.
    image: str
        The image's ID.
    size: (int, int), optional
        Width and height of the image in pixels, if they are known.
    width: int, optional
        That the features must have.

    Raises
    ------
    PrepareError
        If they are not what they should be.
    """
    import numpy as np

    try:
        features, boxes = image_with_features(opened, image)
    except (KeyError, ValueError, OSError) as error:
        raise PrepareError(
            f"{where} has no {' and '.join(ARRAYS)} of image {image} ({error!r})"
        ) from error
    if features.ndim != 2 or boxes.shape != (len(features), 4) or not len(boxes):
        raise PrepareError(
            f"{where}: image {image} has features of shape {features.shape} and boxes of shape "
            f"{boxes.shape}; (boxes, width) and (boxes, 4) are meant"
        )
    if width is not None and features.shape[1] != width:
        raise PrepareError(
            f"{where}: features of image {image} have width {features.shape[1]}, others {width}"
        )
    if not (np.isfinite(features).all() and np.isfinite(boxes).all()):
        raise PrepareError(f"{where}: image {image} has values that are not finite")
    if boxes.max() <= 1:
        raise PrepareError(
            f"{where}: boxes of image {image} are shares of its sides; pixels are meant"
        )
    if (boxes[:, 2:] <= boxes[:, :2]).any():
        raise PrepareError(
            f"{where}: a box of image {image} ends before it begins: {_first_turned(boxes)}; left, "
            "top, right, bottom are meant, not left, top, width, height"
        )
    if size is not None and (boxes[:, 2:].max(0) > np.add(size, BEYOND)).any():
        raise PrepareError(
            f"{where}: boxes of image {image} reach {boxes[:, 2:].max(0).tolist()}, and it has "
            f"{size[0]} x {size[1]} pixels; they are of another size of the image"
        )
    return boxes, features.shape[1]


def _first_turned(boxes: np.ndarray) -> list[float]:
    return boxes[(boxes[:, 2:] <= boxes[:, :2]).any(1)][0].tolist()
