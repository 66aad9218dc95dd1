"""The terminal: what is printed is shown as it is, and on a narrow one nothing is left out."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.status import Status
from rich.table import Table
from rich.text import Text

__all__ = ["Screen"]

UNBOUNDED = 10_000  # columns of a file or a pipe, where nothing needs to be broken
FOLDED = 20  # columns that a cell needs that may be broken anywhere


class Screen(Console):
    """A console on which brackets and colons are no markup and no emoji, and a line is one line.

    Its program goes on after its reader has left, as behind ``| head``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, soft_wrap=True, **options)
        if not self.is_terminal and "COLUMNS" not in os.environ:
            self.width = UNBOUNDED

    def on_broken_pipe(self) -> None:
        """Print nothing more; rich would end the program."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def status(self, status: Any, **options: Any) -> Status:
        """Return a spinner beside a text, which is no markup either."""
        return super().status(Text(status) if isinstance(status, str) else status, **options)

    def table(self, table: Table) -> None:
        """Print a table; where its columns do not fit, two lines a row."""
        if self.fits(table):
            self.print(table, soft_wrap=False)
        else:
            self.print(_lines(table, self.render_str))

    def fits(self, table: Table) -> bool:
        """Whether there is room for each column's longest word, or for all of one that is whole."""
        wide = self.options.update(width=UNBOUNDED)
        needed = Measurement.get(self, wide, table).minimum
        for column in table.columns:
            cells = [Measurement.get(self, wide, each) for each in (column.header, *column.cells)]
            least = max(cell.minimum for cell in cells)
            if column.no_wrap:
                needed += max(cell.maximum for cell in cells) - least
            elif column.overflow == "fold":
                needed -= max(0, least - FOLDED)
        return needed <= self.width


def _lines(table: Table, text_of: Callable[[str], Text]) -> Text:
    """Return the rows of a table, each as a line that names it and one of its other cells."""
    lines = [text_of(str(table.title))] if table.title else []
    headers = [" ".join(str(column.header).split()) for column in table.columns]
    named = next((index for index, header in enumerate(headers) if header), 0)
    for row in zip(*(column.cells for column in table.columns), strict=True):
        cells = [text_of(cell) if isinstance(cell, str) else cell for cell in row]
        rest = [
            Text.assemble(f"{header}: " if header else "", cell)
            for header, cell in zip(headers[named + 1 :], cells[named + 1 :], strict=True)
            if cell
        ]
        lines.append(Text(" ").join(cell for cell in cells[: named + 1] if cell))
        lines += [Text.assemble("  ", Text(" · ").join(rest))] if rest else []
    if table.caption:
        lines.append(text_of(str(table.caption)))
    return Text("\n").join(lines)
