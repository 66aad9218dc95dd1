"""The nearest valid name, for error messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["MOST_NAMES", "UnknownName", "nearest"]

MOST_NAMES = 20  # names to list if none is near


class UnknownName(ValueError):
    """Nothing is installed under a name that the user wrote; the message has the nearest one."""


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the valid name closest to `name`, or the list of names.

    Parameters
    ----------
    name: str
        What the user wrote.
    valid: iterable of str
        The names that would have been accepted.
    """
    names = sorted(valid)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; valid: {', '.join(names)}" if 0 < len(names) <= MOST_NAMES else ""
