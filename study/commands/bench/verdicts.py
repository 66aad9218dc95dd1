"""``study bench verdicts``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.bench.writing import OUT, console, load, machine, write

__all__ = ["verdicts"]


def verdicts(
    tables: Annotated[int, typer.Option(min=1, help="Simulated for each row.")] = 2000,
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = OUT,
) -> None:
    """Simulate tables of a known truth: how often are verdicts wrong, and right?

    Beside the rates are those by the pooled residual variance alone, of the same tables. The last
    rows have effects as large as what is printed as detectable.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    module = load("study.benchmarks", "verdicts")
    shown = console()
    with shown.status("") as status:
        rows = list(module.measure(tables, status.update))
    path = out / "verdicts.csv"
    write(path, rows, machine(("numpy", "scipy", "statsmodels")))
    table = Table("world", "test", "verdict", "is", "seeds", "rate", "pooled", box=SIMPLE_HEAD)
    for row in rows:
        found = (row["rate"], row["pooled"])
        percent = ("" if rate is None else f"{100 * rate:.1f} %" for rate in found)
        table.add_row(
            *(str(row[key]) for key in ("world", "test", "verdict", "is", "seeds")), *percent
        )
    shown.table(table)
    shown.print(str(path))
