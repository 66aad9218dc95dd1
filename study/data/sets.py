"""The data sets: what there is, where it lies, and how it gets there.

A data set is a folder ``<root>/<name>`` with a ``card.json``. It is built under another name and
then renamed, so it is either whole or absent. What a data set contains is the business of the
module behind its name (entry points ``study.datasets``).

Embedded sets are downloaded. The others are prepared from the user's copy, which stays as it is:
the prepared folder has links to its large files. A user's own sets are taken in through a door, and
their folders are all that is known of them.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from plugins.contracts.copies import CopyCard
from study.data import contents
from study.data.building import SCHEMA, CopiedDataSet, DataSet, is_whole
from study.data.doors import CARD_FILE, Added, added, added_names, door_names, find_door
from study.errors import StudyError, nearest

__all__ = [
    "again",
    "card",
    "data_root",
    "datasets",
    "embedded",
    "from_copy",
    "is_prepared",
    "load",
    "looks_like_copy",
    "module_of",
    "names",
    "outputs",
    "overview",
    "path",
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
    """Return the module behind each name of a data set that a package brings, in order."""
    return _datasets(tuple(sys.path))


def names(root: Path | None = None) -> list[str]:
    """Return the names of all data sets: those of packages, then the user's own."""
    known = datasets()
    return [*known, *(name for name in added_names(root or data_root()) if name not in known)]


@functools.lru_cache(maxsize=1)
def _datasets(path: tuple[str, ...]) -> dict[str, str]:
    """Look where Python looks for packages; again where that has changed."""
    return {entry.name: entry.value for entry in sorted(entry_points(group=ENTRY_POINTS))}


def embedded() -> list[str]:
    """Return the names of the data sets that are downloaded."""
    return [name for name in datasets() if not from_copy(name)]


def from_copy(name: str) -> bool:
    """Tell whether a data set is a published one that is prepared from its user's copy."""
    return isinstance(load(name).CARD, CopyCard)


def looks_like_copy(name: str, folder: Path) -> bool:
    """Tell whether a folder looks like a copy from which the data set can be prepared."""
    module = load(name)
    return from_copy(name) and cast(CopiedDataSet, module).recognises(folder)


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
        load(name)  # an unknown name is the likelier mistake
        raise StudyError(
            f"data set {name!r} is not in {folder.parent}; run: study data prepare {name}"
        ) from None
    except (OSError, ValueError) as error:
        raise StudyError(
            f"cannot read {folder / CARD_FILE}: {error}; delete {folder} and run: "
            f"study data prepare {name}"
        ) from error
    stamp = (found.get("schema"), found.get("version")) if isinstance(found, dict) else None
    if stamp != (SCHEMA, load(name, root).CARD.version):
        raise StudyError(
            f"{folder} was prepared by another version of the study; delete it (or set STUDY_DATA "
            f"to another folder) and run: {again(name, root)}"
        )
    return found


def again(name: str, root: Path | None, copy: bool = False) -> str:
    """Return the command that makes a set anew."""
    module = load(name, root)
    if isinstance(module, Added):
        return module.command
    return f"study data prepare {name}" + (" --from DIR" if copy else "")


def module_of(name: str) -> str:
    """Return the module that makes a data set: its own, or that of the door it came through."""
    module = load(name)
    if isinstance(module, Added):
        return type(find_door(module.door)).__module__
    return datasets()[name]


def task_of(name: str) -> str:
    """Return the task that a data set is for."""
    return load(name).CARD.task


def outputs(name: str) -> int | None:
    """Return how many classes, or words, a model of the data set has; None if its files say so.

    The module of a set that may not be there says it in ``OUTPUTS``.
    """
    known = None if is_prepared(name) else getattr(load(name), "OUTPUTS", None)
    return None if known is None else int(known)


def training_items(name: str) -> int | None:
    """Return how many images, or pairs, there are to learn from; None if that is not known.

    The module of a published set may say it in ``TRAINING_ITEMS``; of a part of that set, and of
    all others, the card does.
    """
    published = getattr(load(name), "TRAINING_ITEMS", None)
    if not is_prepared(name):
        return published
    counts = card(name)["counts"]
    items = counts.get("trained", counts["items"]).get("train")
    return published if published and counts.get("official") else items


def verify(name: str, root: Path | None = None) -> None:
    """Raise StudyError if files of a prepared data set are gone, or were added, cut or changed.

    Their content is hashed again only if one of them was touched since the set was prepared.
    """
    made, folder = card(name, root), path(name, root)
    copy = made.get("copy")
    command = again(name, root, copy=bool(copy))
    expected, found = made["size"], contents.size(folder, CARD_FILE)
    if found != expected:
        raise StudyError(
            f"{folder} has {found['files']} files of {found['bytes']} bytes in all, and was "
            f"prepared with {expected['files']} of {expected['bytes']}"
            + (f"; part of it leads to {copy}, is that still there?" if copy else "")
            + f"; delete it and run: {command}"
        )
    linked = contents.links(folder) if copy else {}
    for place, number in made.get("links", {}).items():
        if linked.get(place) != number:
            raise StudyError(
                f"{folder / place}, which leads to {copy}, has {linked.get(place, 0)} files, and "
                f"had {number} when it was prepared; mend the copy, or delete {folder} and run: "
                f"{command}"
            )
    if contents.touched(folder, folder / CARD_FILE):
        whole = made.get("linked") == "content"
        now = contents.fingerprint(folder, made["packages"], whole, CARD_FILE)
        if now != made["fingerprint"]:
            raise StudyError(
                f"files of {folder}{f' or of {copy}' if copy else ''} have another content than "
                f"when it was prepared; put them back, or delete {folder} and run: {command}"
            )


def overview(root: Path | None = None) -> list[dict[str, Any]]:
    """Return name, task, prepared, download size in bytes and card line of every data set.

    The size is None for a set that cannot be downloaded.
    """
    rows = []
    for name in names(root):
        module = load(name, root)
        ready = is_prepared(name, root)
        size = sum(source.size for source in module.SOURCES)
        rows.append(
            {
                "name": name,
                "task": module.CARD.task,
                "prepared": ready,
                "download_bytes": None if isinstance(module.CARD, CopyCard) else size,
                "line": card(name, root)["line"] if ready else module.CARD.line(module.SOURCES),
            }
        )
    return rows


def load(name: str, root: Path | None = None) -> DataSet:
    """Return what is behind a data set's name; StudyError if there is no such set."""
    known = datasets()
    if name in known:
        return cast(DataSet, importlib.import_module(known[name]))
    if own := added(name, root or data_root()):
        return cast(DataSet, own)
    if not known:
        raise StudyError("no data set is registered; install the repository: make setup")
    raise StudyError(
        f"unknown data set {name!r}{nearest(name, names(root))}; files of your own become one by: "
        f"study data add {'|'.join(door_names())} {name} --from DIR"
    )
