"""``study claims``: what the runs say about the paper's findings, and about the user's own."""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.effects import together
from analysis.commands.question import Grids, Out, Runs, Table, emit, writable

__all__ = ["Claims", "Margins", "amounts", "check", "claims"]

Claims = Annotated[
    list[Path] | None,
    typer.Option(metavar="FILE", help="YAML file of further claims; may be repeated."),
]
Margins = Annotated[
    list[str] | None,
    typer.Option(
        metavar="METRIC=VALUE", help="What makes no difference, such as BLEU=1; repeatable."
    ),
]


class Format(enum.StrEnum):
    """What ``study claims`` can write."""

    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


def claims(
    grids: Grids = None,
    claims: Claims = None,
    margin: Margins = None,
    runs: Runs = None,
    table: Table = None,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.MARKDOWN,
    out: Out = None,
) -> None:
    """Judge the paper's findings on the runs: supported, contradicted, inconclusive, not tested."""
    from analysis.stats.claims import judge, load
    from analysis.stats.group import cautions, groups
    from analysis.tables.claims import RENDERERS

    writable(out, format)
    given = amounts("--margin", margin or [])
    agreed = load(claims or (), given)
    found = groups(together(grids, runs, table))
    if given:
        check(
            "--margin",
            given,
            {*load(claims or ())[0].margins, *(group.metric.name for group in found)},
        )
    notes = list(dict.fromkeys(f"data: {card}" for group in found for card in group.cards))
    notes += cautions(found)
    emit(RENDERERS[format.value](judge(found, agreed), notes), out)


def amounts(option: str, given: list[str]) -> dict[str, float]:
    """Return the numbers of an option that is written ``METRIC=VALUE``, by metric."""
    from study.errors import StudyError

    found = {}
    for text in given:
        metric, _, value = text.partition("=")
        try:
            found[metric] = float(value)
        except ValueError:
            found[metric] = math.nan
        if not metric or not 0 < found[metric] < math.inf:
            raise StudyError(f"{option} {text}: write METRIC=VALUE, a number above 0: BLEU=1.0")
    return found


def check(option: str, given: dict[str, float], metrics: set[str]) -> None:
    """Refuse a metric that nothing has."""
    from study.errors import StudyError, nearest

    for metric in given:
        if metric not in metrics:
            hint = nearest(metric, metrics)
            raise StudyError(f"{option} {metric}: no run and no claim has that metric{hint}")
