"""Tables on a terminal: as wide as it is, the best in bold, notes below."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["lay", "say"]


def lay(
    screen: Screen,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    left: int = 1,
    strong: Collection[int] = (),
) -> None:
    """Print a table; where its columns do not fit, two lines a row.

    Parameters
    ----------
    screen: Screen
        The terminal.
    title: str
        Of the table.
    header, rows: sequence
        Its text.
    left: int
        So many columns are words; the others are numbers, at the right.
    strong: collection of int
        Rows in bold.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for place, name in enumerate(header):
        table.add_column(name, justify="left" if place < left else "right")
    for place, row in enumerate(rows):
        table.add_row(*row, style="bold" if place in strong else None)
    screen.table(table)


def say(screen: Screen, notes: Iterable[str]) -> None:
    """Print notes as a list."""
    for note in notes:
        screen.print(f"- {note}", soft_wrap=False)
    screen.print()
