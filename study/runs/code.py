"""Which code runs: commit, what differs from it, and a hash of the content of every package.

The hashes do not depend on git: two contents never look equal, whether the code is a checkout, was
installed from a wheel, or was copied for a job.
"""

from __future__ import annotations

import hashlib
import importlib.util
import subprocess
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from study.environment import without_git
from study.files import read_json

__all__ = ["OURS", "SNAPSHOT_FILE", "commit_of", "content", "git_state", "outside"]

OURS = ("plugins", "study")
"""The packages that a run executes."""

SNAPSHOT_FILE = "snapshot.json"
"""File in a copy of the code that names its origin."""

SUFFIXES = (".py", ".so")  # what Python imports
DIFF_LIMIT = 1_000_000  # characters of uncommitted changes that are kept


def git_state() -> dict[str, Any]:
    """Return the commit of our checkout, and whether and how the tree differs from it.

    A snapshot of the code returns the state at the time of the snapshot.

    Returns
    -------
    dict
        ``commit``, empty outside a checkout and without git; ``dirty``; ``diff``, of the files that
        git knows; ``untracked``, the SHA-256 of each file of Python code that it does not know and
        does not ignore, by its path in the checkout.
    """
    if (taken := read_json(Path(__file__).parents[2] / SNAPSHOT_FILE)) is not None:
        return taken
    return _checkout(Path(__file__).parent)


def commit_of(file: Path) -> tuple[str, bool]:
    """Return the commit of the checkout that a file lies in, and whether that tells its content.

    Returns
    -------
    str, bool
        Empty outside a checkout and without git; whether the file, or another that git knows,
        differs from the commit.
    """
    folder, name = file.resolve().parent, file.resolve().name
    try:
        commit = _git(folder, "rev-parse", "HEAD").strip()
        known = _git(folder, "status", "--porcelain", "--untracked-files=no")
        own = _git(folder, "ls-files", "--", name)
    except (OSError, subprocess.SubprocessError):
        return "", False
    return commit, bool(known) or not own


def content(packages: Iterable[str] = OURS) -> str:
    """Hash names and contents of all files of code of some packages: 16 hex digits."""
    digest = hashlib.sha256()
    for package in sorted(packages):
        for name, path in sorted(_files(package).items()):
            digest.update(f"{name}\0{_sha256(path)}\0".encode())
    return digest.hexdigest()[:16]


def outside(modules: Iterable[str]) -> dict[str, dict[str, str]]:
    """Return version, commit and content of the packages of `modules` that are not ours."""
    versions, found = _versions(), {}
    for package in sorted({name.partition(".")[0] for name in modules} - {*OURS}):
        places = [path.parent for path in _files(package).values()]
        found[package] = {
            "version": versions.get(package, ""),
            "commit": _checkout(min(places))["commit"] if places else "",
            "content": content([package]),
        }
    return found


def _checkout(folder: Path) -> dict[str, Any]:
    nothing = {"commit": "", "dirty": False, "diff": "", "untracked": {}}
    try:
        # A package that was installed into somebody's checkout does not belong to it.
        if not _git(folder, "ls-files", "--", "."):
            return nothing
        commit = _git(folder, "rev-parse", "HEAD").strip()
        diff = _git(folder, "diff", "HEAD")
        top = Path(_git(folder, "rev-parse", "--show-toplevel").rstrip("\n"))
        status = _git(top, "status", "--porcelain", "--untracked-files=all", "-z")
    except (OSError, subprocess.SubprocessError):
        return nothing
    names = [entry[3:] for entry in status.split("\0") if entry.startswith("?? ")]
    untracked = {name: _sha256(top / name) for name in sorted(names) if name.endswith(SUFFIXES)}
    return {
        "commit": commit,
        "dirty": bool(diff or untracked),
        "diff": diff[:DIFF_LIMIT],
        "untracked": untracked,
    }


def _versions() -> dict[str, str]:
    """Return the versions of the packages that bring something to the study."""
    found: dict[str, str] = {}
    for installed in distributions():
        ours = [entry for entry in installed.entry_points if entry.group.startswith("study.")]
        for package in {entry.module.partition(".")[0] for entry in ours}:
            # Of two that are installed, Python imports the first.
            found.setdefault(package, installed.version)
    return found


def _files(package: str) -> dict[str, Path]:
    """Return the files of code of a package, or of a lone module, by their name in it."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return {}
    places = [Path(place) for place in spec.submodule_search_locations or ()]
    if not places and spec.origin and Path(spec.origin).is_file():
        return {package: Path(spec.origin)}
    return {
        f"{package}/{path.relative_to(place).as_posix()}": path
        for place in places
        for path in place.rglob("*")
        if path.suffix in SUFFIXES and path.is_file()
    }


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:  # a link that leads nowhere is untracked code too
        return f"unreadable: {error.strerror}"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        errors="replace",
        env=without_git() | {"GIT_OPTIONAL_LOCKS": "0"},  # a reader does not write the index
        timeout=60,
    ).stdout
