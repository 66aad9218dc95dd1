"""``study plan`` and ``study run``."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from study.folder import RunFolder
    from study.run import Run

__all__ = ["Root", "register", "runs_of"]

Grids = Annotated[list[Path], typer.Argument(help="Grid files, or folders of them.")]
Root = Annotated[
    Path | None, typer.Option("--runs", help="Run folders [default: $STUDY_RUNS or results/runs].")
]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(plan)
    app.command()(run)


def runs_of(grids: list[Path]) -> list[Run]:
    """Return the runs of all grids, each once, in order."""
    from study.grid import find, load

    runs = [run for path in find(grids) for run in load(path).runs()]
    return list({run.id: run for run in runs}.values())


def plan(
    grids: Grids,
    root: Root = None,
    cost: Annotated[bool, typer.Option(help="Build the models to count MACs.")] = True,
) -> None:
    """List the runs of grids, what is done, MACs and parameters. Writes nothing."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from study.folder import RunFolder
    from study.measure import costs
    from study.run import default_root

    runs, console = runs_of(grids), Console()
    folders = {run.id: RunFolder((root or default_root()) / run.id) for run in runs}
    states = {name: folder.condition() for name, folder in folders.items()}
    done = {name: folders[name].result for name, state in states.items() if state == "completed"}
    known = {name: result["cost"] for name, result in done.items() if result}
    if cost:
        with console.status("building the models to count their cost (--no-cost skips this)"):
            known |= costs([run for run in runs if run.id not in known])
    for grid in dict.fromkeys(run.grid for run in runs):
        here = [run for run in runs if run.grid == grid]
        places = dict.fromkeys(".".join(run.sites) for run in here if run.sites)
        several = len(places) > 1
        title = " · ".join([grid, *([] if several else places)])
        table = Table("mechanism", "seed", "state", title=escape(title), box=SIMPLE_HEAD)
        if several:
            table.add_column("sites")
        for column in ("MACs", "params", "+MACs", "+params"):
            table.add_column(column, justify="right", no_wrap=True)
        for run in here:
            figures = ["", "", "", ""]
            if run.id in known:
                model, mechanism = known[run.id]["model"], known[run.id]["mechanism"]
                numbers = [model["macs"], model["parameters"]]
                numbers += [mechanism["macs"], mechanism["parameters"]]
                figures = [f"{number / 1e6:,.2f}" for number in numbers]
            where = [".".join(run.sites)] if several else []
            table.add_row(run.mechanism, str(run.seed), states[run.id], *where, *figures)
        table.caption = "in millions; + is what the mechanism adds"
        console.print(table)
    console.print(_tally(list(states.values())))


def run(
    grids: Grids,
    slots: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    root: Root = None,
) -> None:
    """Train what is missing, on this machine. What is finished is not trained again.

    Exit code 0 if all runs are complete, 1 if some are not, 130 if you stopped it.
    """
    from study import data
    from study.folder import SETTLED
    from study.launch.local import LocalLauncher
    from study.progress import PatientConsole, Progress
    from study.provenance import cores
    from study.run import default_root, open_folder

    console, runs = PatientConsole(), runs_of(grids)
    for name in dict.fromkeys(run.data for run in runs):
        data.verify(name)
    folders = [open_folder(run, (root or default_root()).resolve()) for run in runs]
    missing = [folder for folder in folders if folder.condition() not in SETTLED]
    if not missing:
        console.print(f"nothing to do: {_tally([folder.condition() for folder in folders])}")
        raise typer.Exit(_report(folders, console))
    launcher = LocalLauncher(min(slots, len(missing)))
    console.print(
        f"{len(missing)} of {len(runs)} runs to train, {launcher.slots} at a time, "
        f"{launcher.threads} of {cores()} threads each"
    )
    with Progress(folders, console) as progress:
        finished = launcher.run(missing, progress.refresh)
    console.print(_tally([folder.condition() for folder in folders]))
    if not finished:
        console.print("stopped; the same command goes on from the last checkpoints")
        raise typer.Exit(130)
    raise typer.Exit(_report(folders, console))


def _report(folders: list[RunFolder], console: Console) -> int:
    """Name the runs that are not complete, and why; return the exit code."""
    for folder in folders:
        state, name = folder.condition(), folder.path.name
        if state in ("completed", "planned"):
            continue
        tell = functools.partial(console.print, markup=False, highlight=False, soft_wrap=True)
        tell(f"{state} {name}")
        if state == "broken":
            tell(f"  a file in {folder.path} is torn; move the folder away")
            continue
        newest = folder.attempts[-1]
        if state == "running" and newest.submission:
            where = newest.submission
            tell(f"  process {where['pid']} on {where['host']}")
        elif newest.exit:
            tell(f"  {newest.exit.get('error', '')}")
            tell(f"  study logs --err {name}")
    return 0 if all(folder.condition() == "completed" for folder in folders) else 1


def _tally(states: list[str]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
