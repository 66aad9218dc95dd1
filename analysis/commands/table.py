"""``study table``: accuracy beside cost, for reading or for a paper."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

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
    writable,
)

__all__ = ["table"]


def table(
    grids: Grids = None,
    runs: Runs = None,
    table: Table = None,
    format: Annotated[Format | None, typer.Option(help=HOW)] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="On a terminal, all columns that Markdown has.")
    ] = False,
    metric: Annotated[
        str | None,
        typer.Option(
            help="Another metric that the runs recorded: study inspect RUN --full lists them.",
            show_default="the task's first",
        ),
    ] = None,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Show published values on other data sets too, not only those on the same.",
        ),
    ] = False,
    out: Out = None,
) -> None:
    """Show accuracy beside cost: means over seeds, intervals, differences to the baseline."""
    from analysis.stats.group import groups
    from analysis.tables.others import by_metric, recorded
    from analysis.tables.published import beside, load
    from analysis.tables.table import RENDERERS, show

    writable(out, format or Format.MARKDOWN)
    values = load()
    asked, shown = list(answered(grids, runs, table)), []
    some = any(metric in recorded(frame) for _, frame in asked)
    for question, found in asked:
        if metric and some and metric not in recorded(found):
            typer.echo(f"left out: no run of {question.name} has recorded {metric}", err=True)
            continue
        frame = by_metric(found, metric) if metric else found
        for group in groups(frame, question.baseline, question.cells):
            # Two grids may differ in the recipe alone: their names tell the tables apart.
            variant = ", ".join(filter(None, (question.name, group.variant)))
            named = replace(group, variant=variant)
            shown.append(beside(named, values, everything=published))
    if screen := terminal(format, out):
        show(shown, screen, wide)
    else:
        emit(RENDERERS[format or Format.MARKDOWN](shown), out)
