"""A copy of the code: what is edited after a submission does not change what was submitted."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from study.files import read_json, write_json
from study.provenance import SNAPSHOT_FILE, git_state

__all__ = ["place", "take"]

ROOMS = ("study", "plugins")
"""The packages that a run executes."""


def place(folder: Path, packages: Iterable[str] = ()) -> Path:
    """Return where in `folder` the copy of the code as it is now belongs; it bears its hash."""
    digest = hashlib.sha256()
    for name, path in _files(packages).items():
        digest.update(f"{name}\0{path.stat().st_size}\0".encode() + path.read_bytes())
    return folder / digest.hexdigest()[:16]


def take(folder: Path, packages: Iterable[str] = ()) -> Path:
    """Copy our packages, and those named, into `folder`; return where, for ``PYTHONPATH``.

    The same code is copied once.
    """
    target = place(folder, packages)
    if read_json(target / SNAPSHOT_FILE):
        return target
    folder.mkdir(parents=True, exist_ok=True)
    # Beside its place and renamed: another submission may be making the same one.
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
        copy = Path(temporary) / target.name
        for name, path in _files(packages).items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / name)
        write_json(copy / SNAPSHOT_FILE, git_state())
        try:
            copy.rename(target)
        except OSError:
            if not target.exists():
                raise
    return target


def _files(packages: Iterable[str]) -> dict[str, Path]:
    """Return the files to copy, by the name that they get."""
    found = {}
    for package in sorted({*ROOMS, *(name.partition(".")[0] for name in packages)}):
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec else ():
            for path in sorted(Path(place).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    found[str(Path(package) / path.relative_to(place))] = path
    return found
