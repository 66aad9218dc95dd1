"""What the sets from a user's copy share: finding files in it, and reading JSON."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from plugins.contracts.copies import some
from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data import features

__all__ = ["archives", "check_images", "find", "find_features", "read_json"]


def find(copy: Path, *names: str) -> Path | None:
    """Return the first of the names that a copy has, in itself or in a folder of it."""
    for name in names:
        if (copy / name).exists():
            return copy / name
        if inside := sorted(copy.glob(f"*/{name}")):
            return inside[0]
    return None


def find_features(copy: Path) -> Path | None:
    """Return the folder or the file of features of boxes that a copy has."""
    return find(copy, features.FOLDER, features.FILE, "features.hdf5")


def archives(copy: Path) -> str:
    """Say which archives a copy still has, as the likely reason why files are missing."""
    packed = [each.name for each in copy.iterdir() if each.suffix in (".zip", ".gz", ".tar")]
    return f": archives are not unpacked, {some(packed)}" if packed else ""


def read_json(path: Path) -> Any:
    """Return the content of a file; PrepareError if it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PrepareError(f"{path} is cut or no JSON ({error}); unpack it again") from error


def check_images(asked: Collection[str], folders: Iterable[tuple[str, Path]]) -> None:
    """Raise PrepareError if questions ask about images that are not in the folders.

    Parameters
    ----------
    asked: collection of str
        The images, which begin with one of the prefixes.
    folders: iterable of (str, Path)
        A prefix, such as ``images/train2014/``, and the folder of the copy that it stands for.
    """
    for prefix, folder in folders:
        there = {prefix + each.name for each in folder.iterdir()}
        missing = [name for name in asked if name.startswith(prefix) and name not in there]
        if missing:
            raise PrepareError(
                f"{folder} lacks images that are asked about: "
                f"{some(name.removeprefix(prefix) for name in missing)}; unpack its archive again"
            )
