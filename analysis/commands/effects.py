"""``study effects``: what each term of the attention brings, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from analysis.commands.question import (
    HOW,
    Format,
    Grids,
    Out,
    Runs,
    Table,
    answered,
    emit,
    terminal,
    union,
    writable,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["effects", "together"]


def effects(
    grids: Grids = None,
    runs: Runs = None,
    table: Table = None,
    format: Annotated[Format | None, typer.Option(help=HOW)] = None,
    out: Out = None,
) -> None:
    """Show main effects and two-way interactions of the terms E1 to E4, with intervals."""
    from analysis.stats.effects import effects as fit
    from analysis.stats.effects import skipped
    from analysis.stats.group import groups
    from analysis.tables.effects import RENDERERS, show
    from study.errors import StudyError

    writable(out, format or Format.MARKDOWN)
    there = groups(together(grids, runs, table))
    for line in (reasons := skipped(there)):
        typer.echo(f"left out: {line}", err=True)
    found = fit(there)
    if not found:
        raise StudyError(
            f"no factorial among {len(reasons)} groups of finished runs: effects need the 16 "
            "term sets, or enough of them (see `left out`)"
        )
    if screen := terminal(format, out):
        show(found, screen)
    else:
        emit(RENDERERS[format or Format.MARKDOWN](found), out)


def together(grids: Grids, runs: Runs, table: Table) -> pd.DataFrame:
    """Return the finished and unfinished runs of all grids in one frame, each run once."""
    return union(frame for _, frame in answered(grids, runs, table))
