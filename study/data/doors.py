"""A user's own data sets: taken in through a door, and known by their card alone."""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from plugins.contracts.dataset import Source
from plugins.contracts.doors import Door, DoorOptions, OwnCard
from study.errors import StudyError, nearest

__all__ = ["Added", "added", "added_names", "door_names", "find_door", "read_options"]

CARD_FILE = "card.json"
STORE = "wheels"
"""Folder of the downloads, beside the sets."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*")


class Added:
    """A set behind a name that no package knows, for those who build and list sets.

    Parameters
    ----------
    name: str
        Of the set.
    door: str
        Name of the door.
    options: DoorOptions
        What its user says of it.
    """

    SOURCES: tuple[Source, ...] = ()

    def __init__(self, name: str, door: str, options: DoorOptions) -> None:
        self.name, self.door, self.options = name, door, options
        self.CARD: OwnCard = find_door(door).card(name, options)

    def recognises(self, folder: Path) -> bool:
        """Tell whether a folder looks like a copy; only its user knows."""
        return False

    def prepare(
        self, copy: Path, out: Path, progress: Callable[[str], None], subset: bool = False
    ) -> dict[str, Any]:
        """Let the door write the set into `out`; return its counts."""
        return find_door(self.door).prepare(copy, out, self.options, progress)

    def record(self) -> dict[str, Any]:
        """Return what the card says of how the set was taken in."""
        return {"name": self.door, "options": self.options.model_dump(mode="json")}

    @property
    def command(self) -> str:
        """The command that takes it in again."""
        options = self.options.model_dump(mode="json", exclude_defaults=True)
        given = "".join(
            f" -o {shlex.quote(f'{key}={_text(value)}')}" for key, value in options.items()
        )
        return f"study data add {self.door} {self.name} --from DIR{given}"


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@functools.cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group="study.doors")}


def door_names() -> list[str]:
    """Return the names of all doors."""
    return sorted(_entries())


@functools.cache
def find_door(name: str) -> Door:
    """Return the door of a name; StudyError if there is none."""
    entry = _entries().get(name)
    if entry is None:
        raise StudyError(f"unknown kind of data {name!r}{nearest(name, _entries())}")
    door: Door = entry.load()()
    return door


def read_options(door: str, given: Sequence[str]) -> DoorOptions:
    """Return ``KEY=VALUE`` words as a door's options; StudyError names the one that is wrong."""
    model = find_door(door).Options
    values: dict[str, str] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals:
            raise StudyError(f"--option {word}: KEY=VALUE is expected, such as licence='CC BY 4.0'")
        if key not in model.model_fields:
            raise StudyError(
                f"--option {word}: unknown key {key!r}{nearest(key, model.model_fields)}"
            )
        if key in values:
            raise StudyError(f"--option {word}: {key} is given twice")
        values[key] = value
    try:
        return model.model_validate(values)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = str(problem["loc"][0]) if problem["loc"] else ""
            said = problem["msg"].removeprefix("Value error, ")
            lines.append(f"--option {f'{key}={values.get(key)}: ' if key else ''}{said}")
        raise StudyError("\n".join(lines)) from None


def check_name(name: str, taken: Iterable[str]) -> None:
    """Raise StudyError unless `name` can be a new set's, which is part of the names of its runs."""
    if not NAME.fullmatch(name):
        raise StudyError(
            f"{name!r} cannot be the name of a data set: letters, digits, '_', '.' and single '-' "
            "between them, such as my-boxes"
        )
    if name == STORE:
        raise StudyError(f"{name!r} is the folder of what is downloaded; choose another name")
    if name in taken:
        raise StudyError(f"the data set {name!r} comes with a package; choose another name")


def added(name: str, root: Path) -> Added | None:
    """Return the set that lies under `name` in `root`, if it was taken in through a door."""
    found = _card(root / name)
    if found is None:
        return None
    door = find_door(found["name"])
    try:
        options = door.Options.model_validate(found.get("options"))
    except ValidationError:
        raise StudyError(
            f"{root / name} was taken in by another version of {found['name']}; delete it and add "
            f"it again: study data add {found['name']} {name} --from DIR"
        ) from None
    return Added(name, found["name"], options)


def added_names(root: Path) -> Iterator[str]:
    """Yield the names of the sets in `root` that were taken in through a door."""
    if root.is_dir():
        for folder in sorted(root.iterdir()):
            if not folder.name.startswith(".") and _card(folder) is not None:
                yield folder.name


def _card(folder: Path) -> Mapping[str, Any] | None:
    try:
        found = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    door = found.get("door") if isinstance(found, dict) else None
    return door if isinstance(door, dict) and door.get("name") in _entries() else None
