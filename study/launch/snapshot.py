"""A copy of the code: what is edited after a submission does not change what was submitted."""

from __future__ import annotations

import hashlib
import importlib.util
import secrets
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from study.files import write_json
from study.runs.code import SNAPSHOT_FILE, git_state

__all__ = ["folder_for", "take"]

ROOMS = ("study", "plugins")
"""The packages that a run executes."""


def folder_for(folder: Path, packages: Iterable[str] = ()) -> Path:
    """Return the folder below `folder` for a copy of the present code, named by its hash."""
    return folder / _digest(_files(packages))


def take(folder: Path, packages: Iterable[str] = ()) -> Path:
    """Copy our packages, and those named, into `folder`; return where, for ``PYTHONPATH``.

    The same code is copied once. A copy in which files were changed or deleted is replaced.
    """
    files = _files(packages)
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
            shutil.copyfile(path, copy / name)
        write_json(copy / SNAPSHOT_FILE, git_state())
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


def _files(packages: Iterable[str]) -> dict[str, Path]:
    """Return the files to copy, by the name that they get."""
    found = {}
    for package in sorted({*ROOMS, *(name.partition(".")[0] for name in packages)}):
        spec = importlib.util.find_spec(package)
        for location in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(location).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    found[str(Path(package) / path.relative_to(location))] = path
    return found
