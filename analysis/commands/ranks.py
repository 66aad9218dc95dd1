"""``study ranks``: which mechanism is best over tasks and sites, and how sure that is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.commands.judging import Margins, agreed, check
from analysis.commands.question import (
    HOW,
    Grids,
    Out,
    Question,
    Runs,
    Structured,
    Table,
    answered,
    emit,
    terminal,
    union,
    writable,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["ranks"]


def ranks(
    grids: Grids = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="What gains are over.",
            show_default="the grids' baseline, or none: the first that all groups have",
        ),
    ] = None,
    each: Annotated[bool, typer.Option("--each", help="Show every group by itself, too.")] = False,
    margin: Margins = None,
    runs: Runs = None,
    table: Table = None,
    format: Annotated[Structured | None, typer.Option(help=HOW)] = None,
    out: Out = None,
) -> None:
    """Rank mechanisms over tasks and sites, by gain, rank and chance to be better."""
    from analysis.stats.aggregates.ranking import ranking
    from analysis.stats.group import groups
    from analysis.tables.ranks import RENDERERS, show

    writable(out, format or Structured.MARKDOWN)
    answers = answered(grids, runs, table)
    found = groups(union(frame for _, frame in answers))
    check(None, margin, (group.metric.name for group in found))
    named = [question.baseline for question, _ in answers]
    first = ranking(found, agreed(None, margin, grids)[0].margins, baseline, named)
    first = replace(first, left_out=(*first.left_out, *_unfinished(answers)))
    told = [first, *first.each] if each else [first]
    if screen := terminal(format, out):
        show(told, screen)
    else:
        emit(RENDERERS[format or Structured.MARKDOWN](told), out)


def _unfinished(answers: Sequence[tuple[Question, pd.DataFrame]]) -> Iterator[str]:
    """Say of each grid how many of its runs have not finished."""
    for question, frame in answers:
        lacking = len(question.ids or ()) - int((frame["state"] == "completed").sum())
        if lacking > 0:
            yield f"{lacking} of {len(question.ids or ())} runs of {question.name}: not finished"
