"""The word for what attends: one parser, one printer.

====================  ===============================================================
``none``              no attention module at all (the paper's "w/o")
``1010``              Transformer attention with the terms E1 and E3 (the bits E1E2E3E4)
``0000``              the module with no term: uniform weights (not the same as ``none``)
``dynamic``           dynamic convolution
``0100@3``            keys within 3 positions of the query only, on each axis
``name``              any mechanism that is installed, see `plugins.attention.core.registry`
``name:ratio=8``      the same with an option that differs from its default
``0010+deformable``   two mechanisms that take different places at a site
``none+deformable``   deformable convolution alone
====================  ===============================================================

Reading a word imports the files of the mechanisms that it names, and no torch.
"""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from plugins.attention.core import registry
from plugins.attention.core.mechanism import Mechanism

__all__ = ["TERM_SETS", "Word"]

TERM_SETS: tuple[str, ...] = tuple("".join(bits) for bits in itertools.product("01", repeat=4))
"""The 16 values of E1E2E3E4, from ``0000`` to ``1111``."""

NONE = "none"

_PART = re.compile(
    r"(?P<name>[^:@]+)(?P<options>(?::[a-z][a-z0-9_]*=[A-Za-z0-9._-]+)*)(?:@(?P<range>[0-9]+))?"
)


@dataclass(frozen=True)
class Word:
    """What attends: one mechanism, or several that take different places.

    Attributes
    ----------
    parts: tuple of Mechanism
        In the order in which they are written; ``none`` is no part. Empty: no attention.
    """

    parts: tuple[Mechanism, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Word:
        """Read a word; ``str(Word.parse(text)) == text``.

        Raises
        ------
        ValueError
            If it names no mechanism, or names one in another spelling. The message has the nearest
            valid word.
        """
        parts = [_part(text, piece) for piece in text.split("+")]
        named = [part for part in parts if part.name != NONE]
        if len(named) > len({part.name for part in named}):
            raise ValueError(f"mechanism {text!r} names a mechanism twice")
        # What is written beside others comes last; all else in alphabetical order.
        word = cls(tuple(sorted(named, key=lambda part: (part.beside, str(part)))))
        if str(word) != text:
            raise ValueError(f"mechanism {text!r} is written {str(word)!r}")
        return word

    def __str__(self) -> str:
        alone = all(part.beside for part in self.parts)
        return "+".join([NONE] * alone + [str(part) for part in self.parts])

    def named(self, name: str) -> Mechanism | None:
        """Return the part of that name, None if there is none."""
        return next((part for part in self.parts if part.name == name), None)

    @property
    def uses(self) -> frozenset[str]:
        """The fields of a recipe that its parts depend on."""
        if all(part.beside for part in self.parts):
            return registry.mechanism_class(NONE).uses
        return frozenset().union(*(part.uses for part in self.parts))

    @property
    def versions(self) -> dict[str, int]:
        """Version of each part whose version is not the first."""
        return {part.name: part.version for part in self.parts if part.version != 1}


def _part(text: str, piece: str) -> Mechanism:
    match = _PART.fullmatch(piece)
    try:
        kind = registry.mechanism_class(match["name"]) if match else None
    except KeyError:
        kind = None
    if match is None or kind is None:
        raise ValueError(_unknown(text, piece))
    given: dict[str, Any] = {}
    for option in filter(None, match["options"].split(":")):
        name, _, value = option.partition("=")
        if name in given:
            raise ValueError(f"mechanism {text!r} sets the option {name!r} twice")
        given[name] = value
    fields = [name for name in kind.model_fields if name != "spatial_range"]
    for name in given:
        if name not in fields:
            raise ValueError(f"mechanism {text!r}: {_no_option(kind.name, name, fields)}")
    if match["range"]:
        if "spatial_range" not in kind.model_fields:
            reason = ": there is no module to restrict" if kind.name == NONE else ""
            raise ValueError(f"mechanism {text!r}: {kind.name!r} has no spatial range{reason}")
        given["spatial_range"] = match["range"]
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join(map(str, first["loc"])) or "its options"
        if option == "spatial_range":
            raise ValueError(
                f"mechanism {text!r}: a spatial range is at least 1: with 0 a query sees only"
                " itself"
            ) from None
        value = f"={first['input']}" if isinstance(first["input"], str) else ""
        reason = first["msg"].removeprefix("Value error, ")  # of a mechanism's own validator
        raise ValueError(f"mechanism {text!r}: {option}{value}: {reason}") from None


def _no_option(kind: str, name: str, fields: list[str]) -> str:
    if not fields:
        return f"{kind!r} has no options"
    close = difflib.get_close_matches(name, fields, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else f"; it has {', '.join(fields)}"
    return f"{kind!r} has no option {name!r}{hint}"


def _unknown(text: str, piece: str) -> str:
    known = registry.names()
    alone, _, _ = piece.partition(":")
    alone, _, _ = alone.partition("@")
    close = difflib.get_close_matches(alone, known, n=1, cutoff=0.5)
    if close and close[0] != alone:
        hint = f"; did you mean {text.replace(alone, close[0], 1)!r}?"
    elif close:
        hint = f"; options are written {alone}:option=value, a range {alone}@3"
    else:
        hint = ""
    others = ", ".join(name for name in known if name not in TERM_SETS)
    return (
        f"unknown mechanism {text!r}{hint} "
        f"({others} or four bits E1E2E3E4, then :option=value, then @RANGE; joined by +)"
    )
