"""The word for a mechanism: one parser, one printer.

Imports no torch, unless a word is none of the first seven kinds: then the registry is asked, whose
files may import it.

====================  ===============================================================
``none``              no attention module at all (the paper's "w/o")
``1010``              Transformer attention with the terms E1 and E3 (the bits E1E2E3E4)
``0000``              the module with no term: uniform weights (not the same as ``none``)
``0010+deformable``   the same, with deformable convolution beside it
``none+deformable``   deformable convolution alone
``dynamic``           dynamic convolution
``0100@3``            keys within 3 positions of the query only, on each axis
``dynamic@3``         dynamic convolution over the same keys: 7 taps an axis
``name``              any other mechanism registered in :mod:`plugins.attention.mechanisms`
====================  ===============================================================
"""

from __future__ import annotations

import difflib
import itertools
import re
from dataclasses import dataclass

from plugins.attention.core import registry

__all__ = ["TERM_SETS", "Mechanism"]

TERM_SETS: tuple[str, ...] = tuple("".join(bits) for bits in itertools.product("01", repeat=4))
"""The 16 values of E1E2E3E4, from ``0000`` to ``1111``."""

_BUILT_IN = ("none", "dynamic", *TERM_SETS)
"""Base words that are read without asking the registry."""

_WORD = re.compile(r"(?P<base>[^+@]+)(@(?P<range>[0-9]+))?(\+(?P<suffix>.+))?")


@dataclass(frozen=True)
class Mechanism:
    """What attends at a site.

    Parameters
    ----------
    base: str
        ``none``, ``dynamic``, one of the 16 term sets, or another registered name.
    spatial_range: int, optional
        Largest distance between query and key on each axis, in positions of the query's grid;
        None is global attention. For ``dynamic`` it sets the kernel, ``2 * spatial_range + 1`` taps
        an axis, 3 when None.
    deformable: bool
        Whether deformable convolution stands beside the module.
    """

    base: str
    spatial_range: int | None = None
    deformable: bool = False

    def __post_init__(self) -> None:
        if self.spatial_range is not None and self.base == "none":
            raise ValueError("'none' has no spatial range: there is no module to restrict")
        if self.base not in _BUILT_IN:
            if self.base not in registry.words():
                raise ValueError(f"no mechanism {self.base!r}")
            if self.spatial_range is not None and not registry.registered(self.base).ranged:
                raise ValueError(f"{self.base!r} has no spatial range")
        if self.spatial_range is not None and self.spatial_range < 1:
            raise ValueError("a spatial range is at least 1: with 0 a query sees only itself")

    @classmethod
    def parse(cls, word: str) -> Mechanism:
        """Read a mechanism's word; ``str(Mechanism.parse(word)) == word``.

        Raises
        ------
        ValueError
            If the word names no mechanism. The message has the nearest valid word.
        """
        match = _WORD.fullmatch(word)
        if match is None or (match["suffix"] not in (None, "deformable")):
            raise ValueError(_unknown(word))
        try:
            mechanism = cls(
                match["base"],
                int(match["range"]) if match["range"] else None,
                match["suffix"] == "deformable",
            )
        except ValueError as error:
            if "no mechanism" in str(error):
                raise ValueError(_unknown(word)) from None
            raise ValueError(f"mechanism {word!r}: {error}") from None
        if str(mechanism) != word:  # leading zeros of a range: one word per mechanism
            raise ValueError(f"mechanism {word!r} is written {str(mechanism)!r}")
        return mechanism

    def __str__(self) -> str:
        within = "" if self.spatial_range is None else f"@{self.spatial_range}"
        return f"{self.base}{within}{'+deformable' if self.deformable else ''}"

    @property
    def terms(self) -> str | None:
        """The bits E1E2E3E4, or None where no Transformer attention takes part."""
        return self.base if self.base in TERM_SETS else None

    @property
    def kernel_size(self) -> int:
        """Taps an axis of dynamic convolution."""
        return 3 if self.spatial_range is None else 2 * self.spatial_range + 1


def _unknown(word: str) -> str:
    bases = registry.words()
    words = [*bases, *(f"{base}+deformable" for base in bases)]
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    names = ", ".join(base for base in bases if base not in TERM_SETS)
    return (
        f"unknown mechanism {word!r}{hint} "
        f"({names} or four bits E1E2E3E4, then @RANGE, then +deformable)"
    )
