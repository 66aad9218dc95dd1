"""``study items``: whether differences would be there on other test items, too."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from analysis.commands.question import (
    HOW,
    Grids,
    Out,
    Runs,
    Structured,
    answered,
    emit,
    root,
    terminal,
    writable,
)

__all__ = ["items"]


def items(
    grids: Grids = None,
    baseline: Annotated[
        str | None,
        typer.Option(metavar="WORD", help="Mechanism to subtract, if not the grid's baseline."),
    ] = None,
    runs: Runs = None,
    format: Annotated[Structured | None, typer.Option(help=HOW)] = None,
    out: Out = None,
) -> None:
    """Show what other test items, other seeds and both would change in differences."""
    from analysis.stats.group import groups
    from analysis.stats.items import spread
    from analysis.tables.items import RENDERERS, show
    from study.errors import StudyError, nearest
    from study.runs.archive import every_run
    from study.screen import Screen

    writable(out, format or Structured.MARKDOWN)
    shown, reasons = [], []
    words: set[str] = set()
    there = {folder.path.name: folder for folder in every_run(root(runs))}
    questions = answered(grids, runs)
    with Screen(stderr=True).status("calculating the metric of samples of the test items"):
        for question, frame in questions:
            for group in groups(frame, baseline or question.baseline, question.cells):
                words |= group.seeds.keys()
                variant = ", ".join(filter(None, (question.name, group.variant)))
                try:
                    shown.append(spread(replace(group, variant=variant), there))
                except StudyError as error:
                    reasons.append(f"{group.title}: {error}")
    if baseline is not None and baseline not in words:
        raise StudyError(f"--baseline {baseline}: it has no finished run{nearest(baseline, words)}")
    if not shown:
        raise StudyError("\n".join(reasons))
    for reason in reasons:
        typer.echo(f"left out: {reason}", err=True)
    if screen := terminal(format, out):
        show(shown, screen)
    else:
        emit(RENDERERS[format or Structured.MARKDOWN](shown), out)
