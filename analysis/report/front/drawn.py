"""Take over what an earlier report drew of the same runs: drawing takes longest."""

from __future__ import annotations

import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["key", "taken_over"]

RECORD = "drawn.json"
ROOMS = ("analysis", "study", "plugins")


def key(*content: object) -> str:
    """Return a hash of all that decides how figures look: what they show, and the code."""
    return hashlib.sha256(repr((content, _code())).encode()).hexdigest()


def taken_over(
    old: Path, new: Path, key: str, draw: Callable[[], Mapping[str, Sequence[Path]]]
) -> Mapping[str, Sequence[Path]]:
    """Return the files of each kind of figure in the folder `new`: copied from `old`, or drawn.

    Parameters
    ----------
    old, new: Path
        Folders; `old` need not be there.
    key: str
        As `key` gives it; figures are copied if those in `old` have the same.
    draw: callable
        Draws into `new`, and returns the files by kind.
    """
    try:
        record = json.loads((old / RECORD).read_text(encoding="utf-8"))
        if record["key"] == key:
            shutil.copytree(old, new)
            return {kind: [new / name for name in names] for kind, names in record["files"].items()}
    except (OSError, ValueError, KeyError):
        shutil.rmtree(new, ignore_errors=True)
    found = draw()
    files = {kind: [str(path.relative_to(new)) for path in paths] for kind, paths in found.items()}
    new.mkdir(parents=True, exist_ok=True)
    (new / RECORD).write_text(json.dumps({"key": key, "files": files}), encoding="utf-8")
    return found


@functools.cache
def _code() -> str:
    """Return a hash of sizes and times of our files: other code may draw other figures."""
    top = Path(__file__).parents[3]
    files = sorted(file for room in ROOMS for file in (top / room).rglob("*.py"))
    known = [(str(f.relative_to(top)), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    return hashlib.sha256(repr(known).encode()).hexdigest()
