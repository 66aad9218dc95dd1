"""What the folder of a prepared data set consists of: its own files, and links.

A link to a file stands for that file. The content of files in a linked folder counts too, unless it
is a published set's, which may hold tens of gigabytes: then names and sizes do. Hidden files there,
such as those of a file browser, do not count.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from study.files import sync as sync_descriptor

__all__ = ["fingerprint", "links", "size", "sync", "sync_entry", "touched"]


def size(folder: Path, without: str) -> dict[str, int]:
    """Count files and their bytes, except those named `without` and those of linked folders."""
    files = [file for file in _entries(folder) if file.is_file() and file.name != without]
    return {"files": len(files), "bytes": sum(file.stat().st_size for file in files)}


def links(folder: Path) -> dict[str, int]:
    """Return the number of files in each linked folder; reads no file."""
    return {
        entry.relative_to(folder).as_posix(): sum(1 for _ in _visible(entry))
        for entry in _entries(folder)
        if entry.is_symlink() and entry.is_dir()
    }


def touched(folder: Path, card: Path) -> bool:
    """Tell whether a file, linked ones included, was written or replaced after `card` was."""
    known = card.stat()
    limit = max(known.st_mtime, known.st_ctime)
    for entry in _entries(folder):
        for file in _visible(entry) if entry.is_symlink() and entry.is_dir() else (entry,):
            found = file.stat()
            # A copy that keeps the time of its content has a new time of its entry.
            if max(found.st_mtime, found.st_ctime) > limit and file.is_file() and file != card:
                return True
    return False


def fingerprint(
    folder: Path, packages: Mapping[str, str], whole: bool = True, without: str = ""
) -> str:
    """Hash packages, then names and contents of all files, in a fixed order.

    Parameters
    ----------
    folder: Path
        Of the set.
    packages: mapping of str to str
        Versions of the distributions that can change what is written.
    whole: bool
        Whether the content of files in linked folders counts too, or their sizes.
    without: str
        A file that does not count: the card, which has the fingerprint in it.
    """
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode())
    entries = {entry.relative_to(folder).as_posix(): entry for entry in _entries(folder)}
    entries.pop(without, None)
    for name, entry in sorted(entries.items()):
        if entry.is_file():
            digest.update(f"\0{name}\0".encode() + _sha256(entry))
        elif entry.is_symlink() and entry.is_dir():
            for file_name, path in sorted((path.as_posix(), path) for path in _visible(entry)):
                relative = file_name.removeprefix(entry.as_posix())
                digest.update(f"\0{name}{relative}\0{path.stat().st_size}\0".encode())
                if whole:
                    digest.update(_sha256(path))
    return digest.hexdigest()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def sync(folder: Path) -> None:
    """Make sure that every own file is whole even after a power cut that follows the rename."""
    for entry in _entries(folder):
        if not entry.is_symlink():
            sync_entry(entry)
    sync_entry(folder)


def sync_entry(entry: Path) -> None:
    """Write a file or folder to the disk."""
    descriptor = os.open(entry, os.O_RDONLY)
    try:
        sync_descriptor(descriptor)
    finally:
        os.close(descriptor)


def _entries(folder: Path) -> Iterator[Path]:
    """Yield all files, folders and links below `folder`; does not follow links."""
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            yield Path(parent, name)


def _visible(linked: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(linked):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield Path(parent, name)
