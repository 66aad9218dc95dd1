"""Colour, sign and stroke of a mechanism, the same in every figure and in the report.

Both palettes can be told apart with every kind of colour vision: the paper's mechanisms have that
of Okabe and Ito ("Color Universal Design", 2008); all others have that of Tol ("Colour Schemes",
2021, muted), and their name alone decides on colour and sign.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

from matplotlib.colors import to_hex, to_rgb

from analysis.stats.effects import TERM_SETS
from analysis.stats.recipes import names

__all__ = ["COLORS", "MORE_SIGNS", "OTHERS", "color", "dashes", "ink", "is_key", "marker"]

COLORS = {
    "none": "#000000",
    "1111": "#D55E00",
    "0110": "#0072B2",
    "0010": "#009E73",
    "0011": "#56B4E9",
    "1000": "#E69F00",
    "dynamic": "#CC79A7",
}
OTHERS = "#8C8C8C"
"""Of the term sets that the paper does not single out."""

PAPERS = {*TERM_SETS, "none", "dynamic", "deformable"}

MORE_COLORS = ("#332288", "#117733", "#44AA99", "#999933", "#CC6677", "#882255", "#AA4499")
MORE_SIGNS = ("P", "X", "v", "<", ">", "p", "h", "*")


def color(mechanism: str) -> str:
    """Return the colour of a mechanism, whatever its range and options.

    It is the colour of the first mechanism in the word. If that has none, the mechanism beside it
    gives its own.
    """
    first, *_ = names(mechanism)
    own = _own(mechanism)
    if own is None or (first in COLORS and first != "none"):
        return COLORS.get(first, OTHERS)
    return MORE_COLORS[_number(own) % len(MORE_COLORS)]


def is_key(mechanism: str) -> bool:
    """Whether a figure names it at all events: what the paper singles out, and what is not its own.

    ``0000``, the module without any term, is grey like other term sets, but is looked for.
    """
    return color(mechanism) != OTHERS or mechanism == "0000" or "deformable" in names(mechanism)


def marker(mechanism: str) -> str:
    """Return its sign: square with deformable convolution, triangle dynamic, diamond none."""
    if "deformable" in names(mechanism):
        return "s"
    if (own := _own(mechanism)) is not None:
        return MORE_SIGNS[_number(own) // len(MORE_COLORS) % len(MORE_SIGNS)]
    return "^" if names(mechanism)[0] == "dynamic" else "D" if mechanism == "none" else "o"


def dashes(mechanism: str) -> Any:
    """Return its line style: dashed with deformable convolution, dotted within a range."""
    if "deformable" in names(mechanism):
        return (0, (5, 2))
    if names(mechanism)[0] == "dynamic":
        return (0, (6, 1.5, 1, 1.5))
    return (0, (1, 1)) if "@" in mechanism else "-"


def ink(tone: str) -> str:
    """Return the colour for text beside a point: a thin stroke looks paler than a dot."""
    return to_hex([0.8 * part for part in to_rgb(tone)])  # type: ignore[arg-type]


def _own(mechanism: str) -> str | None:
    """Return the first mechanism in a word that is not one of the paper's; None without any."""
    return next((name for name in names(mechanism) if name not in PAPERS), None)


def _number(name: str) -> int:
    """Return a number that depends on the name alone, the same in every process."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
