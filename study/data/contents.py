"""What the folder of a prepared data set consists of: its own files, and links.

A link to a file stands for that file. For a linked folder only names and sizes count: it may hold
tens of gigabytes. Its hidden files, such as those of a file browser, do not count.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from study.files import sync as sync_descriptor

__all__ = ["fingerprint", "links", "size", "sync", "sync_entry"]


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


def fingerprint(folder: Path, packages: Mapping[str, str]) -> str:
    """Hash packages, then names and contents of all files, in a fixed order.

    For files in linked folders it hashes names and sizes.
    """
    digest = hashlib.sha256(json.dumps(packages, sort_keys=True).encode())
    entries = {entry.relative_to(folder).as_posix(): entry for entry in _entries(folder)}
    for name, entry in sorted(entries.items()):
        if entry.is_file():
            digest.update(f"\0{name}\0".encode())
            with entry.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        elif entry.is_symlink() and entry.is_dir():
            for file_name, path in sorted((path.as_posix(), path) for path in _visible(entry)):
                bytes_ = path.stat().st_size
                relative = file_name.removeprefix(entry.as_posix())
                digest.update(f"\0{name}{relative}\0{bytes_}\0".encode())
    return digest.hexdigest()


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
