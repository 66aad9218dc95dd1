"""Pipe tables of Markdown, aligned so that they also read well on a screen."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["pipes"]


def pipes(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Render a table; the first `left` columns are words, the others numbers, at the right.

    A pipe within a cell is escaped, for it would begin another cell.
    """
    table = [[text.replace("|", "\\|") for text in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in table)) for i in range(len(header))]
    rule = [w * "-" if i < left else (w - 1) * "-" + ":" for i, w in enumerate(widths)]

    def line(row: Sequence[str]) -> str:
        cells = [
            text.ljust(width) if i < left else text.rjust(width)
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |\n"

    return "".join(line(row) for row in (table[0], rule, *table[1:]))
