"""``study report``: a folder of pages to look at the runs, and a server for it."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from analysis.commands.judging import Claims, Margins, agreed, check
from analysis.commands.question import WITHOUT, Grids, Runs, root
from study.errors import StudyError
from study.units import size

if TYPE_CHECKING:
    from analysis.report.front.overview import Selection

__all__ = ["report"]

PORT = 8765
PAUSE = 5.0  # seconds between two looks at the run folders, and of a browser at the report


def report(
    grids: Grids = None,
    claims: Claims = None,
    margin: Margins = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="Folder to write; an older report is replaced.")] = Path(
        "results/report"
    ),
    one_file: Annotated[
        Path | None,
        typer.Option("--one-file", help="Write this one HTML file instead, to mail; without logs."),
    ] = None,
    serve: Annotated[
        bool,
        typer.Option("--serve", help="Show it on this machine's port, and renew it as runs go on."),
    ] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For --serve; 0: any free.")] = PORT,
) -> None:
    """Write pages on the runs: findings, figures, verdicts, tables, each run, runs side by side.

    They need no server and no network: open index.html. With --serve they are also shown to a
    browser on this machine, or on yours through ssh.
    """
    from analysis.report.build import Edition, build
    from analysis.report.front.since import previous
    from plugins.contracts.tasks import find_task, task_names
    from study.screen import Screen

    if one_file and serve:
        raise StudyError("--one-file writes a file, --serve shows a folder: one of them")
    check(claims, margin, (each.name for task in task_names() for each in find_task(task).metrics))
    judged, where = agreed(claims, margin, grids), root(runs)
    with Screen(stderr=True).status("reading the runs") as status:

        def tell(doing: str) -> None:
            status.update(Text(doing))

        if one_file:
            from analysis.report.onefile import write

            built = write(_selections(grids, where), one_file, judged, tell)
        else:
            seen = _look(grids, where) if serve else None
            renews = PAUSE if serve else None
            before = previous(out)
            edition = Edition(renews, before=before, tell=tell)
            built = build(_selections(grids, where), out, judged, edition)
    for path, reason in built.broken:
        typer.echo(f"skipped {path}: {reason}", err=True)
    large = f", {size(built.index.stat().st_size)}" if one_file else ""
    print(f"{built.runs} runs -> {built.index}{large}", flush=True)
    if serve:
        from analysis.report.renew import Renewal
        from analysis.report.serve import serve as show

        def again() -> None:
            build(_selections(grids, where), out, judged, Edition(renews, before=before))

        show(out, port, Renewal(lambda: _look(grids, where), again, PAUSE, seen))


def _look(grids: list[Path] | None, runs: Path) -> Hashable:
    from analysis.report.renew import signature
    from study.grid.reading import find

    return signature(runs, find(grids) if grids else ())


def _selections(grids: list[Path] | None, runs: Path) -> list[Selection]:
    """Return the runs of each grid, those that nobody has begun among them, or all there are."""
    from analysis.report.front.overview import Selection
    from analysis.report.runs import PlannedRun
    from study.runs.archive import every_run

    there = {folder.path.name: folder for folder in every_run(runs)}
    if not grids:
        return [Selection("", WITHOUT, list(there.values()))]
    from study.grid.reading import find, load

    selections = []
    for path in find(grids):
        grid = load(path)
        asked = [there.get(run.id) or PlannedRun(runs / run.id, run) for run in grid.runs()]
        selections.append(Selection(grid.name, grid.baseline, asked, path))
    return selections
