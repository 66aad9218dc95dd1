"""``study register``: write down what is claimed of a grid before its runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.commands.judging import Claims, Margins, agreed, margins
from analysis.commands.question import Runs, root

if TYPE_CHECKING:
    from analysis.registered.file import Entry
    from analysis.stats.claimfile import Claim
    from study.grid.grid import Grid
    from study.runs.folder import RunFolder

__all__ = ["register"]


def register(
    grids: Annotated[
        list[Path], typer.Argument(metavar="GRID...", help="Grid files, or folders of them.")
    ],
    claims: Claims = None,
    margin: Margins = None,
    amend: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Add what has changed to what is registered."),
    ] = None,
    runs: Runs = None,
) -> None:
    """Register claims, margins, seeds and grid before the runs, in a file beside the grid.

    `study claims` and `study report` say which verdicts were registered, and what was changed.
    """
    from analysis.registered.file import beside, read, write
    from analysis.registered.plan import changes
    from analysis.registered.standing import when
    from study.errors import StudyError
    from study.grid.reading import find, load
    from study.runs.archive import every_run

    if amend is not None and not amend.strip():
        raise StudyError("--amend: give a reason, for those who will read the verdicts")
    judged = agreed(claims, margin, grids)
    files = {path: load(path) for path in find(grids)}
    _check(margin, files.values())
    there = {folder.path.name: folder for folder in every_run(root(runs))}
    due: list[tuple[Path, list[Entry]]] = []
    refused: list[str] = []
    for path, grid in files.items():
        file, known = beside(path), read(beside(path))
        new = _entry(path, grid, judged, there, amend or "")
        differ = changes(known[-1].plan, new.plan) if known else []
        if known and not differ:
            typer.echo(f"{file}: registered already, {when(known[-1], known[-1].finished)}")
        elif known and amend is None:
            refused += [f"{file} has another registration:", *(f"  {line}" for line in differ)]
        elif not known and amend is not None:
            refused.append(f"{path} is not registered yet, so there is nothing to amend")
        else:
            due.append((file, [*known, new]))
    if refused:
        hint = '; to add the change and its reason: --amend "REASON"' if amend is None else ""
        raise StudyError("\n".join([*refused, f"nothing was written{hint}"]))
    for file, entries in due:
        write(file, entries)
        if len(entries) > 1:
            for line in changes(entries[-2].plan, entries[-1].plan):
                typer.echo(f"  {line}")
        last = entries[-1]
        what = f"{len(last.plan['claims'])} claims on {last.plan['grid']['runs']} runs"
        done = "amended" if len(entries) > 1 else "registered"
        typer.echo(f"{file}: {what} {done} {when(last, last.finished)}")


def _check(margin: list[str] | None, grids: Iterable[Grid]) -> None:
    from plugins.contracts.tasks import find_task
    from study.errors import StudyError, nearest

    known = {metric.name for grid in grids for metric in find_task(grid.task).metrics}
    for metric in margins(margin):
        if metric not in known:
            raise StudyError(f"--margin {metric}: no grid has that metric{nearest(metric, known)}")


def _entry(
    path: Path, grid: Grid, claims: list[Claim], there: Mapping[str, RunFolder], reason: str
) -> Entry:
    from datetime import UTC, datetime

    from analysis.registered.file import Entry
    from analysis.registered.plan import plan
    from analysis.registered.standing import JUDGING
    from study.runs.code import commit_of, content

    states = [there[run.id].condition() for run in grid.runs() if run.id in there]
    commit, dirty = commit_of(path)
    return Entry(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        reason=reason,
        commit=commit,
        dirty=dirty,
        code=content(JUDGING),
        finished=states.count("completed"),
        begun=sum(state not in ("completed", "planned") for state in states),
        plan=plan(grid, claims),
    )
