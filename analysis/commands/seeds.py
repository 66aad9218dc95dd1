"""``study seeds``: how many seeds the claims about a grid need, before it is trained."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.commands.effects import together
from analysis.commands.judging import Claims, Margins, agreed, amounts, check
from analysis.commands.question import (
    HOW,
    Out,
    Runs,
    Structured,
    Table,
    emit,
    frame,
    questions,
    root,
    terminal,
    union,
    writable,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from analysis.stats.group import Group
    from analysis.stats.seeds import Scatter

__all__ = ["seeds"]


def seeds(
    grids: Annotated[
        list[Path], typer.Argument(metavar="GRIDS", help="Grid files, or folders of them.")
    ],
    sd: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[METRIC=]VALUE",
            help="Standard deviation over seeds, in units of the metric; repeatable.",
        ),
    ] = None,
    like: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="GRIDS", help="Take it from finished runs of these grids; may be repeated."
        ),
    ] = None,
    claims: Claims = None,
    margin: Margins = None,
    gain: Annotated[
        float, typer.Option(help="How far beyond its bound a true effect lies, in margins.")
    ] = 1.0,
    runs: Runs = None,
    table: Table = None,
    format: Annotated[Structured | None, typer.Option(help=HOW)] = None,
    out: Out = None,
    figure: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Draw the chances, too: .svg, .png or .pdf."),
    ] = None,
) -> None:
    """Tell before training how many seeds each claim needs, and what the planned ones can tell.

    The scatter over seeds is that of the grids' own finished runs, unless --sd or --like says.
    """
    from analysis.stats.seeds import plans
    from analysis.tables.seeds import RENDERERS, show
    from plugins.contracts.tasks import find_task
    from study.errors import StudyError
    from study.grid.reading import find
    from study.grid.reading import load as load_grid
    from study.screen import Screen

    writable(out, format or Structured.MARKDOWN)
    _drawable(figure)
    if not 0 < gain < math.inf:
        raise StudyError(f"--gain {gain:g}: a number above 0, in margins")
    if sd and like:
        raise StudyError("--sd and --like: the scatter is given, or that of finished runs")
    asked = [run for path in find(grids) for run in load_grid(path).runs()]
    metrics = {find_task(run.task).metrics[0].name for run in asked}
    check(claims, margin, metrics)
    scatter_of = _given(sd, metrics) if sd else _measured(grids, like, runs, table)
    with Screen(stderr=True).status("") as status:
        made = plans(asked, agreed(claims, margin, grids), scatter_of, gain, status.update)
    if not made:
        raise StudyError(
            f"no claim is about {', '.join(sorted({run.task for run in asked}))} there"
        )
    if screen := terminal(format, out):
        show(made, gain, screen)
    else:
        emit(RENDERERS[format or Structured.MARKDOWN](made, gain), out)
    if figure is not None:
        from analysis.figures.power import draw

        print(draw(made, gain, figure), file=sys.stderr)


def _given(given: list[str], metrics: set[str]) -> Callable[[Group], Scatter]:
    """Return the scatter that the user says."""
    from analysis.stats.seeds import Scatter
    from study.errors import StudyError, nearest

    named = [text for text in given if "=" in text]
    if len(named) == len(given):
        values = amounts("--sd", named)
        for metric in values:
            if metric not in metrics:
                raise StudyError(f"--sd {metric}: no run has that metric{nearest(metric, metrics)}")
    elif len(given) > 1 or len(metrics) > 1:
        each = " ".join(f"--sd {metric}=VALUE" for metric in sorted(metrics))
        raise StudyError(f"--sd {' '.join(given)}: say of which metric: {each}")
    else:
        (metric,) = metrics
        values = amounts("--sd", [f"{metric}={given[0]}"])

    def scatter(group: Group) -> Scatter:
        if (metric := group.metric.name) not in values:
            raise StudyError(f"no scatter of {metric} is given; add --sd {metric}=VALUE")
        return Scatter(values[metric], "given")

    return scatter


def _measured(
    grids: list[Path], like: list[Path] | None, runs: Path | None, table: Path | None
) -> Callable[[Group], Scatter]:
    """Return the scatter of finished runs."""
    from analysis.stats.group import groups
    from analysis.stats.seeds import scatter as pooled
    from study.errors import StudyError

    if like:
        found = together(like, runs, table)
    else:
        base = root(runs) if table is None else Path()
        found = union(frame(question, base, table) for question in questions(grids))
    known = pooled(groups(found))

    def scatter(group: Group) -> Scatter:
        metric = group.metric.name
        if (group.task, metric) not in known:
            where = f"among those of {', '.join(map(str, like))}" if like else "yet of this grid"
            raise StudyError(
                f"how much does {metric} of {group.task} scatter over seeds? No finished runs "
                f"{where} tell, with two seeds or more; give the standard deviation, "
                f"--sd {metric}=VALUE, or grids that have such runs, --like GRIDS"
            )
        return known[group.task, metric]

    return scatter


def _drawable(figure: Path | None) -> None:
    from study.errors import StudyError

    endings = (".svg", ".png", ".pdf")
    if figure is not None and figure.suffix not in endings:
        raise StudyError(f"--figure {figure}: the name ends in {', '.join(endings)}")
