"""The form that figures are asked for in: width, heading and notes, and the margins of verdicts.

It holds for whatever is drawn within `shaped`, as the styles of matplotlib do, so that a figure
from another package, which knows nothing of it, still fits its own ``draw``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from study.errors import StudyError

__all__ = ["Form", "form", "inches", "shaped"]

UNITS = {"in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
"""Inches of each unit."""

LEAST, MOST = 2.5, 20.0
"""Inches: narrower, names fill the panel; wider than any page."""


@dataclass(frozen=True)
class Form:
    """How a figure is laid out.

    Parameters
    ----------
    width: float or None
        Of the whole figure, in inches; None: as wide as its panels are by themselves.
    plain: bool
        Without heading and notes, which then stand in the caption alone.
    margins: mapping of str to float
        What makes no difference, by metric, in the unit of records, where it is not the usual.
    """

    width: float | None = None
    plain: bool = False
    margins: Mapping[str, float] = field(default_factory=dict)


USUAL = Form()

_FORM: ContextVar[Form] = ContextVar("form", default=USUAL)


def form() -> Form:
    """Return the form that is asked for."""
    return _FORM.get()


@contextmanager
def shaped(asked: Form) -> Iterator[None]:
    """Draw in this form for a while."""
    token = _FORM.set(asked)
    try:
        yield
    finally:
        _FORM.reset(token)


def inches(text: str) -> float:
    """Read a width such as ``3.25in``, ``8.5cm`` or ``85mm``.

    Raises
    ------
    StudyError
        If it is no width, or one that no figure can have.
    """
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*", text.lower())
    if match is None or match[2] not in UNITS:
        units = ", ".join(UNITS)
        raise StudyError(f"--width {text}: a number with its unit, {units}, such as 3.25in")
    width = float(match[1]) * UNITS[match[2]]
    if not LEAST <= width <= MOST:
        raise StudyError(f"--width {text}: a figure is {LEAST:g}in to {MOST:g}in wide")
    return width
