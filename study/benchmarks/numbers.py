"""Numbers in the tables of the terminal."""

from __future__ import annotations

from rich.text import Text

__all__ = ["number", "ratio"]


def number(value: float) -> str:
    """Three digits, without the exponent of ``g``."""
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def ratio(value: float) -> Text:
    """Theirs over ours, red where ours is worse."""
    return Text(number(value), "" if value >= 1 else "red")
