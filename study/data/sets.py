"""The data sets: what there is, where it lies, and how it gets there.

A data set is a folder ``<root>/<name>`` with a ``card.json``. It is built under another name and
then renamed, so it is either whole or absent. What a data set contains is the business of the
module behind its name (entry points ``study.datasets``).

Embedded sets are downloaded. The others are prepared from the user's copy, which stays as it is:
the prepared folder has links to its large files.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from plugins.contracts.copies import CopyCard
from study.data import contents
from study.data.building import (
    CARD_FILE,
    MEGABYTE,
    SCHEMA,
    CopiedDataSet,
    DataSet,
    build,
    is_whole,
    say,
)
from study.data.download import require_client
from study.errors import StudyError, nearest

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "MEGABYTE",
    "card",
    "data_root",
    "datasets",
    "embedded",
    "is_prepared",
    "looks_like_copy",
    "outputs",
    "overview",
    "path",
    "prepare",
    "prepare_from",
    "task_of",
    "training_items",
    "verify",
]

ENTRY_POINTS = "study.datasets"


def data_root() -> Path:
    """Return the folder of the data sets: ``$STUDY_DATA``, or one in the user's cache."""
    chosen = os.environ.get("STUDY_DATA")
    return Path(chosen or "~/.cache/spatial-attention-study/data").expanduser()


def datasets() -> dict[str, str]:
    """Return the module behind each data set's name, in the order of the names."""
    return _datasets(tuple(sys.path))


@functools.lru_cache(maxsize=1)
def _datasets(path: tuple[str, ...]) -> dict[str, str]:
    """Look where Python looks for packages; again where that has changed."""
    return {entry.name: entry.value for entry in sorted(entry_points(group=ENTRY_POINTS))}


def embedded() -> list[str]:
    """Return the names of the data sets that are downloaded."""
    return [name for name in datasets() if not _needs_copy(name)]


def looks_like_copy(name: str, folder: Path) -> bool:
    """Tell whether a folder looks like a copy from which the data set can be prepared."""
    module = _load(name)
    return _needs_copy(name) and cast(CopiedDataSet, module).recognises(folder)


def is_prepared(name: str, root: Path | None = None) -> bool:
    """Tell whether the data set is there and whole."""
    return is_whole((root or data_root()) / name)


def path(name: str, root: Path | None = None) -> Path:
    """Return the folder of a prepared data set.

    Raises
    ------
    StudyError
        If it is not prepared, or no such set exists.
    """
    card(name, root)
    return (root or data_root()) / name


def card(name: str, root: Path | None = None) -> dict[str, Any]:
    """Return the card of a prepared data set.

    Keys: ``schema``, ``name``, ``version``, ``task``, ``line`` (the sentence under every table),
    ``content``, ``licence``, ``unit``, ``composed``, ``in_domain``, ``not_comparable_with``,
    ``notes``, ``sources``, ``packages``, ``counts`` (as measured when it was built), ``size``
    (files and bytes) and ``fingerprint`` (sha256 over all files and `packages`). The card of a set
    from a copy also has ``copy`` (where it was) and ``links`` (the number of files in each linked
    folder); `fingerprint` covers names and sizes of these.

    Raises
    ------
    StudyError
        If it is not prepared, was prepared by another version, or no such set exists.
    """
    folder = (root or data_root()) / name
    try:
        found = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        _load(name)  # an unknown name is the likelier mistake
        raise StudyError(
            f"data set {name!r} is not in {folder.parent}; run: study data prepare {name}"
        ) from None
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cannot read {folder / CARD_FILE}: {error}; delete {folder} and run: "
            f"study data prepare {name}"
        ) from error
    stamp = (found.get("schema"), found.get("version")) if isinstance(found, dict) else None
    if stamp != (SCHEMA, _load(name).CARD.version):
        raise StudyError(
            f"{folder} was prepared by another version of the study; delete it (or set STUDY_DATA "
            f"to another folder) and run: study data prepare {name}"
        )
    return found


def task_of(name: str) -> str:
    """Return the task that a data set is for."""
    return _load(name).CARD.task


def outputs(name: str) -> int | None:
    """Return how many classes, or words, a model of the data set has; None if its files say so.

    The module of a set that may not be there says it in ``OUTPUTS``.
    """
    known = None if is_prepared(name) else getattr(_load(name), "OUTPUTS", None)
    return None if known is None else int(known)


def training_items(name: str) -> int | None:
    """Return how many images, or pairs, there are to learn from; None if that is not known.

    The module of a published set may say it in ``TRAINING_ITEMS``; of a part of that set, and of
    all others, the card does.
    """
    published = getattr(_load(name), "TRAINING_ITEMS", None)
    if not is_prepared(name):
        return published
    counts = card(name)["counts"]
    items = counts["items"].get("train")
    return published if published and counts.get("official") else items


def verify(name: str, root: Path | None = None) -> None:
    """Raise StudyError if files of a prepared data set are gone, or were added or cut."""
    made, folder = card(name, root), path(name, root)
    copy = made.get("copy")
    again = f"study data prepare {name}" + (" --from DIR" if copy else "")
    expected, found = made["size"], contents.size(folder, CARD_FILE)
    if found != expected:
        raise StudyError(
            f"{folder} has {found['files']} files of {found['bytes']} bytes in all, and was "
            f"prepared with {expected['files']} of {expected['bytes']}"
            + (f"; part of it leads to {copy}, is that still there?" if copy else "")
            + f"; delete it and run: {again}"
        )
    linked = contents.links(folder) if copy else {}
    for place, number in made.get("links", {}).items():
        if linked.get(place) != number:
            raise StudyError(
                f"{folder / place}, which leads to {copy}, has {linked.get(place, 0)} files, and "
                f"had {number} when it was prepared; mend the copy, or delete {folder} and run: "
                f"{again}"
            )


def overview(root: Path | None = None) -> list[dict[str, Any]]:
    """Return name, task, prepared, download size in bytes and card line of every data set.

    The size is None for a set that cannot be downloaded.
    """
    rows = []
    for name in datasets():
        module = _load(name)
        ready = is_prepared(name, root)
        size = sum(source.size for source in module.SOURCES)
        rows.append(
            {
                "name": name,
                "task": module.CARD.task,
                "prepared": ready,
                "download_bytes": None if _needs_copy(name) else size,
                "line": card(name, root)["line"] if ready else module.CARD.line(module.SOURCES),
            }
        )
    return rows


def prepare(names: Iterable[str], root: Path | None = None, console: Console | None = None) -> None:
    """Download and build the data sets that are not there yet.

    Parameters
    ----------
    names: iterable of str
        Names of data sets.
    root: Path, optional
        Where to; by default `data_root`.
    console: rich.console.Console, optional
        Where progress is shown; by default standard error.

    Raises
    ------
    StudyError
        If a name is unknown, a set needs a copy, a file cannot be downloaded or is a wrong one, or
        the disk is full. Nothing half-made is left; finished sets stay.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    root = (root or data_root()).resolve()
    modules = {name: _load(name) for name in names}
    for name, module in modules.items():
        if is_prepared(name, root):
            card(name, root)
            say(console, f"{name}: already prepared ({root / name})")
        elif isinstance(module.CARD, CopyCard):
            raise StudyError(
                f"{name} cannot be downloaded by the study. {module.CARD.where}; then run: "
                f"study data prepare {name} --from THAT_FOLDER"
            )
        else:
            for source in module.SOURCES:
                require_client(source, root / "wheels")
    for name, module in modules.items():
        if not is_prepared(name, root):
            build(name, module, root, console)


def prepare_from(
    name: str,
    copy: Path,
    root: Path | None = None,
    console: Console | None = None,
    subset: bool = False,
) -> None:
    """Prepare a data set from the user's copy, which is only read.

    Parameters
    ----------
    name: str
        Name of a data set that cannot be downloaded.
    copy: Path
        Folder of the copy.
    root: Path, optional
        Where to; by default `data_root`.
    console: rich.console.Console, optional
        Where progress is shown; by default standard error.
    subset: bool
        Whether the copy may be a part of the published set.

    Raises
    ------
    StudyError
        If the name is unknown, the set is embedded, the copy is not what it should be, the set was
        prepared from another copy, or the disk is full. Nothing half-made is left.
    """
    from rich.console import Console

    console = console or Console(stderr=True)
    root, copy = (root or data_root()).resolve(), copy.expanduser().absolute()
    module = _load(name)
    if not _needs_copy(name):
        raise StudyError(
            f"{name} is downloaded, not prepared from a copy; run: study data prepare {name}"
        )
    if is_prepared(name, root):
        before = card(name, root)["copy"]
        if Path(before).resolve() != copy.resolve():
            raise StudyError(
                f"{root / name} was prepared from {before}; to prepare it from {copy}, delete it "
                "first (the copy itself stays: it holds links)"
            )
        verify(name, root)
        say(console, f"{name}: already prepared ({root / name})")
        return
    if (root / name).resolve() == copy.resolve():
        raise StudyError(
            f"{copy} is where the prepared {name} goes; choose another folder for the prepared "
            "sets: --root, or STUDY_DATA"
        )
    build(name, module, root, console, copy, subset)


def _needs_copy(name: str) -> bool:
    return isinstance(_load(name).CARD, CopyCard)


def _load(name: str) -> DataSet:
    known = datasets()
    if not known:
        raise StudyError("no data set is registered; install the repository: make setup")
    if name not in known:
        raise StudyError(f"unknown data set {name!r}{nearest(name, known)}")
    return cast(DataSet, importlib.import_module(known[name]))
