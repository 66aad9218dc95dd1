"""``items.npz``: what a run's metric is made of, item by item of its test set.

See :mod:`plugins.contracts.items`. Imports numpy only when such a file is written or read.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.contracts.items import ITEMS
from study.files import BrokenFile, Unreadable, write_bytes

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

__all__ = ["FILE", "drop_other_items", "read_items", "write_items"]

FILE = "items.npz"

RECORDED = "recorded"
"""The array that tells of which evaluation the file is: the time of its ``val`` record."""


def write_items(path: Path, arrays: Mapping[str, Array], recorded: float = 0.0) -> None:
    """Write what a task has handed over, so that a reader sees the old file or the new one, whole.

    Parameters
    ----------
    path: Path
        The file.
    arrays: mapping of str to numpy.ndarray
        Numbers or names, ``item`` among them.
    recorded: float
        The ``time`` of the evaluation's record; 0 if it has none.

    Raises
    ------
    ValueError
        If there is no list of items, an item comes twice, or an array holds objects.
    """
    import numpy as np

    if wrong := _wrong(arrays):
        raise ValueError(f"the task's items cannot be kept: {wrong}")
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"the task's items cannot be kept: {name!r} is an array of objects")
    buffer = io.BytesIO()
    content: dict[str, Any] = {**arrays, RECORDED: np.asarray(recorded)}
    np.savez_compressed(buffer, **content)
    write_bytes(path, buffer.getvalue())


def read_items(path: Path) -> dict[str, Array] | None:
    """Return the arrays of a task; None when there is no such file.

    Raises
    ------
    BrokenFile
        If it is torn or something else.
    """
    arrays = _read(path)
    if arrays is None:
        return None
    arrays.pop(RECORDED, None)
    if wrong := _wrong(arrays):
        raise BrokenFile(f"{path}: {wrong}")
    return arrays


def drop_other_items(path: Path, recorded: float | None) -> None:
    """Remove the file unless it is of the evaluation that was recorded at this time."""
    try:
        arrays = _read(path)
    except BrokenFile:
        arrays = {}
    if arrays is not None and arrays.get(RECORDED) != recorded:
        print(f"{path} is not of the last evaluation: removed")
        path.unlink()


def _read(path: Path) -> dict[str, Array] | None:
    if not path.exists():
        return None
    import numpy as np

    try:
        with path.open("rb") as file:
            return dict(np.load(file, allow_pickle=False).items())
    except PermissionError:
        raise Unreadable(path) from None
    # AttributeError of a single array, which has no items.
    except (AttributeError, EOFError, OSError, ValueError, zipfile.BadZipFile, zlib.error) as error:
        raise BrokenFile(f"{path}: torn, or not written by numpy ({error})") from None


def _wrong(arrays: Mapping[str, Array]) -> str:
    """Say why arrays are not those of test items; empty if they may be."""
    import numpy as np

    if ITEMS not in arrays:
        return f"no array {ITEMS!r}, but {', '.join(map(repr, arrays)) or 'nothing'}"
    items = arrays[ITEMS]
    if items.ndim != 1:
        return f"{ITEMS!r} is no list but has the shape {items.shape}"
    if len(np.unique(items)) != len(items):
        return f"{ITEMS!r} has an item twice"
    return ""
