"""``study report``: a folder of pages to look at the runs, and a server for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.commands.judging import Claims, Margins, agreed, check
from analysis.commands.question import WITHOUT, Grids, Runs, root

if TYPE_CHECKING:
    from analysis.report.overview import Selection

__all__ = ["report"]

PORT = 8765


def report(
    grids: Grids = None,
    claims: Claims = None,
    margin: Margins = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="Folder to write; an older report is replaced.")] = Path(
        "results/report"
    ),
    serve: Annotated[bool, typer.Option("--serve", help="Show it on this machine's port.")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="For --serve; 0: any free.")] = PORT,
) -> None:
    """Write pages on the runs: figures, verdicts, tables, each run, two runs side by side.

    They need no server and no network: open index.html. With --serve they are also shown to a
    browser on this machine, or on yours through ssh.
    """
    from analysis.report.build import build
    from plugins.contracts.tasks import find_task, task_names

    check(claims, margin, (each.name for task in task_names() for each in find_task(task).metrics))
    built = build(_selections(grids, root(runs)), out, agreed(claims, margin))
    for path, reason in built.broken:
        typer.echo(f"skipped {path}: {reason}", err=True)
    print(f"{built.runs} runs -> {built.index}", flush=True)
    if serve:
        from analysis.report.serve import serve as show

        show(out, port)


def _selections(grids: list[Path] | None, runs: Path) -> list[Selection]:
    """Return the runs of each grid, those that nobody has begun among them, or all there are."""
    from analysis.report.overview import Selection
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
