"""Rows as tables for the terminal; none is wider than 100 columns.

``×`` is theirs divided by ours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from study.benchmarks.numbers import number, ratio
from study.benchmarks.on_cuda.rows import OURS, Row

__all__ = ["reasons", "tables"]

MIB = 2**20
COLUMNS = ("eager\nms", "×", "graph\nms", "×", "kernels", "copies", "peak\nMiB", "×")


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield a table for each input and precision: a line a side."""
    for heading in dict.fromkeys(_heading(row) for row in rows):
        table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
        table.add_column("", no_wrap=True)
        table.add_column("", no_wrap=True)
        for column in COLUMNS:
            table.add_column(column, justify="right")
        for row in rows:
            if _heading(row) == heading:
                own = row.side == OURS
                table.add_row(row.case.configuration if own else "", row.side, *_cells(row))
        yield table


def reasons(rows: Sequence[Row]) -> list[str]:
    """Return why measurements failed, each reason once, with the sides that it belongs to."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.found["failure"]:
            found.setdefault(row.found["failure"], []).append(f"{row.side} {row.case.ours}")
    return [f"{where[0]}{_more(where)}: {reason}" for reason, where in found.items()]


def _more(where: list[str]) -> str:
    return f" and {len(where) - 1} more" if len(where) > 1 else ""


def _heading(row: Row) -> str:
    return f"{row.case.setting} · {row.case.precision}"


def _cells(row: Row) -> list[str | Text]:
    cells: list[str | Text] = []
    for what in ("eager", "graph"):
        taken = row.milliseconds(what)
        cells += ["fails" if taken is None else number(taken), _ratio(row, what)]
    cells += [_count(row.found["kernels"]), _count(row.found["copies"])]
    peak = row.found["peak"]
    return [*cells, "" if peak is None else number(peak / MIB), _ratio(row, "peak")]


def _ratio(row: Row, what: str) -> str | Text:
    found = row.ratio(what)
    return "" if found is None or row.side == OURS else ratio(found)


def _count(value: int | None) -> str:
    return "" if value is None else str(value)
