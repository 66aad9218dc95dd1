"""The mechanisms by name, through the entry points of the group ``study.mechanisms``.

The name of an entry point is the word of its mechanism, so that all words are known without an
import, and a word imports the one file that it stands for.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

from plugins.attention.core.mechanism import NAME, Mechanism

__all__ = ["BrokenMechanism", "mechanism_class", "names"]

ENTRY_POINTS = "study.mechanisms"


class BrokenMechanism(ValueError):
    """What is installed under a mechanism's name cannot be used."""


@functools.cache
def _entries() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=ENTRY_POINTS):
        if entry.name in found and found[entry.name].value != entry.value:
            raise BrokenMechanism(
                f"two installed packages bring a mechanism {entry.name!r}:"
                f" {found[entry.name].value} and {entry.value}; uninstall one of them"
            )
        found[entry.name] = entry
    return found


def names() -> tuple[str, ...]:
    """Return the names of all mechanisms, sorted, the term sets first; imports none of them."""
    return tuple(sorted(_entries()))


@functools.cache
def mechanism_class(name: str) -> type[Mechanism]:
    """Return the class behind a name.

    Raises
    ------
    KeyError
        If nothing is installed under it.
    BrokenMechanism
        If that cannot be imported, or is incomplete.
    """
    entry = _entries()[name]
    try:
        kind = entry.load()
    except (ImportError, AttributeError) as error:
        raise BrokenMechanism(
            f"mechanism {name!r} cannot be imported from {entry.value}: {error}"
        ) from error
    if not (isinstance(kind, type) and issubclass(kind, Mechanism)):
        raise BrokenMechanism(f"{entry.value} is no class derived from Mechanism")
    kind = kind.named(name)
    _check(name, kind, entry.value)
    return kind


def _check(name: str, kind: type[Mechanism], where: str) -> None:
    if not NAME.fullmatch(name):
        raise BrokenMechanism(
            f"{where}: {name!r} is no name for a mechanism: a small letter, then small letters, "
            "digits and underscores"
        )
    for said in ("name", "formula", "paper", "url", "places"):
        if not getattr(kind, said, None) and not (name == "none" and said == "places"):
            raise BrokenMechanism(f"{where}: mechanism {name!r} has no {said!r}")
    if kind.name != name:
        raise BrokenMechanism(
            f"{where}: the entry point is {name!r}, the mechanism calls itself {kind.name!r}"
        )
    if kind.places:
        for method in ("build", "cost"):
            if getattr(kind, method) is getattr(Mechanism, method):
                raise BrokenMechanism(f"{where}: mechanism {name!r} has no {method!r}")
