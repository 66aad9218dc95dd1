"""``study claims``: what the runs say about the paper's findings, and about the user's own."""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.commands.effects import together
from analysis.commands.judging import Claims, Margins, agreed, check
from analysis.commands.question import (
    HOW,
    Grids,
    Out,
    Runs,
    Structured,
    Table,
    emit,
    terminal,
    writable,
)

__all__ = ["claims"]


def claims(
    grids: Grids = None,
    claims: Claims = None,
    margin: Margins = None,
    runs: Runs = None,
    table: Table = None,
    format: Annotated[Structured | None, typer.Option(help=HOW)] = None,
    wide: Annotated[
        bool, typer.Option("--wide", help="On a terminal, all that Markdown says, with reasons.")
    ] = False,
    out: Out = None,
) -> None:
    """Judge the paper's findings on the runs: supported, contradicted, inconclusive, not tested."""
    from analysis.registered.standing import registrations
    from analysis.stats.claims import judge
    from analysis.stats.group import groups
    from analysis.tables.claims import RENDERERS, beneath, show
    from study.grid.reading import find

    writable(out, format or Structured.MARKDOWN)
    judged = agreed(claims, margin, grids)
    frame = together(grids, runs, table)
    found = groups(frame)
    check(claims, margin, (group.metric.name for group in found))
    registered = registrations(find(grids or ()), judged, frame)
    verdicts = registered.marked(judge(found, judged))
    if (screen := terminal(format, out)) and not wide:
        show(verdicts, beneath(found), registered.lines, screen)
    else:
        text = RENDERERS[format or Structured.MARKDOWN](verdicts, beneath(found), registered.lines)
        emit(text, out)
