"""Copies of the code that is submitted, so that an edit after a submission changes nothing in it.

A copy has the code of our packages and of those of the runs' tasks: the files that Python imports,
and what lies beside them as package data, as long as it is small. It has no hidden file, and
nothing larger than `MOST_BYTES`, such as weights or data; a link that leads out of its package is
not followed, unless Python imports it. What is left out is named.
"""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from study.files import write_json
from study.runs.code import SNAPSHOT_FILE, git_state
from study.units import size

__all__ = ["folder_for", "take"]

ROOMS = ("study", "plugins")
"""The packages that a run executes."""

IMPORTED = tuple(importlib.machinery.all_suffixes())
"""Suffixes of the files that Python imports."""

MOST_BYTES = 10_000_000
"""Size up to which any other file counts as package data."""


def folder_for(folder: Path, packages: Iterable[str] = ()) -> Path:
    """Return the folder below `folder` for a copy of the present code, named by its hash."""
    return folder / _digest(_files(packages, lambda line: None))


def take(
    folder: Path, packages: Iterable[str] = (), tell: Callable[[str], object] = lambda line: None
) -> Path:
    """Copy our packages, and those named, into `folder`; return where, for ``PYTHONPATH``.

    The same code is copied once. A copy in which files were changed or deleted is replaced. What is
    no code is told, and left out.
    """
    files = _files(packages, tell)
    target = folder / _digest(files)
    if target.exists():
        if _digest({name: target / name for name in files}) == target.name:
            return target
        target.rename(target.with_name(f"{target.name}.damaged-{secrets.token_hex(4)}"))
    folder.mkdir(parents=True, exist_ok=True)
    # Made beside its place and renamed, since another submission may be making the same copy.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
        copy = Path(temporary) / target.name
        for name, path in files.items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy / name)  # with its mode
        # Runs record this as a part of their provenance.
        write_json(copy / SNAPSHOT_FILE, {**git_state(), "snapshot": target.name})
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():
                raise
    return target


def _digest(files: dict[str, Path]) -> str:
    digest = hashlib.sha256()
    for name, path in files.items():
        content = path.read_bytes() if path.is_file() else b""
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


def _files(packages: Iterable[str], tell: Callable[[str], object]) -> dict[str, Path]:
    """Return the files to copy, by the name that they get; tell what is left out."""
    found, left = {}, []
    for package in sorted({*ROOMS, *(name.partition(".")[0] for name in packages)}):
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            for path in _below(Path(location)):
                if why := _no_code(path, Path(location)):
                    left.append(f"{path} ({why})")
                else:
                    found[str(Path(package) / path.relative_to(location))] = path
    if left:
        tell(f"not copied for the jobs, being no code: {', '.join(left)}")
    return found


def _below(folder: Path) -> Iterator[Path]:
    """Yield the files and the links below a folder that are not hidden, in order."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__":
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _below(path)
        elif path.is_file() or path.is_symlink():
            yield path


def _no_code(path: Path, package: Path) -> str | None:
    """Say why a file is not copied; None if it is."""
    if path.name.endswith(IMPORTED) and path.is_file():
        return None
    if path.is_symlink() and not (
        path.is_file() and path.resolve().is_relative_to(package.resolve())
    ):
        return f"a link to {path.readlink()}"
    taken = path.stat().st_size
    return size(taken) if taken > MOST_BYTES else None
