"""How the numbers at ticks are written: in a unit, with trailing zeros, without an exponent."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from matplotlib.axis import Axis
from matplotlib.ticker import Formatter

__all__ = ["InUnit", "decimal"]


class InUnit(Formatter):
    """Ticks in a unit: equal decimals on a linear axis, as many as each needs on another; 0 is 0.

    Parameters
    ----------
    size: float
        Of the unit, such as 1e9 for MACs in G.
    """

    def __init__(self, size: float = 1.0) -> None:
        self.size = size

    def __call__(self, value: float, pos: int | None = None) -> str:
        """Write one number."""
        return decimal(value / self.size)

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """Write the numbers of an axis."""
        shown = [self(value) for value in values]
        if not isinstance(self.axis, Axis) or self.axis.get_scale() != "linear":
            return shown
        digits = max((len(text.partition(".")[2]) for text in shown), default=0)
        return ["0" if text == "0" else f"{float(text):.{digits}f}" for text in shown]


def decimal(value: float) -> str:
    """Write a number with the digits that it has, ten significant ones at most."""
    return f"{Decimal(f'{value + 0.0:.10g}'):f}"  # and -0.0 is 0
