"""How a user's own folders are read: their splits, a share for val, names, files that are alike."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from plugins.contracts.dataset import PrepareError

__all__ = ["SPLIT_FOLDERS", "alike", "one_folder", "plain", "val_of"]

SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}


def one_folder(folder: Path, names: Iterable[str]) -> Path | None:
    """Return the folder in `folder` with one of the names, in any case; PrepareError if several."""
    lower = {name.lower() for name in names}
    found = sorted(f for f in folder.iterdir() if f.is_dir() and f.name.lower() in lower)
    if len(found) > 1:
        several = " and ".join(each.name for each in found)
        raise PrepareError(f"{folder} has {several}; which is meant? Move the other away")
    return found[0] if found else None


def val_of(names: Iterable[str], part: float, seed: str = "") -> frozenset[str]:
    """Return which of the names are val: `part` of them, one at least, by a hash of each."""
    drawn = sorted(names, key=lambda name: hashlib.sha256((seed + name).encode()).digest())
    return frozenset(drawn[: max(1, round(part * len(drawn)))])


def plain(name: str) -> str:
    """Return a class name without case and spaces, by which it is taken for another."""
    return "".join(unicodedata.normalize("NFC", name).casefold().split())


def alike(paths: Sequence[Path]) -> list[list[int]]:
    """Return the indices of files that have one content, for each content that several have."""
    by_size, by_content = defaultdict(list), defaultdict(list)
    for number, path in enumerate(paths):
        by_size[path.stat().st_size].append(number)
    for numbers in by_size.values():
        if len(numbers) > 1:
            for number in numbers:
                with paths[number].open("rb") as file:
                    by_content[hashlib.file_digest(file, "sha256").digest()].append(number)
    return [numbers for numbers in by_content.values() if len(numbers) > 1]
