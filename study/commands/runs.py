"""``study plan`` and ``study run``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from study.run import Run

__all__ = ["Grids", "register"]

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
    from rich.table import Table

    from study.folder import RunFolder
    from study.measure import costs
    from study.run import default_root

    runs, console = runs_of(grids), Console()
    folders = {run.id: RunFolder((root or default_root()) / run.id) for run in runs}
    results = {name: folder.result for name, folder in folders.items()}
    known = {name: result["cost"] for name, result in results.items() if result}
    if cost:
        with console.status("building the models to count their cost (--no-cost skips this)"):
            known |= costs([run for run in runs if run.id not in known])
    states = {run.id: folders[run.id].state() for run in runs}
    for grid, sites in dict.fromkeys((run.grid, run.sites) for run in runs):
        title = f"{grid} · {'.'.join(sites)}"
        table = Table("mechanism", "seed", "state", title=title, box=SIMPLE_HEAD)
        for column in ("MACs", "params", "+MACs", "+params"):
            table.add_column(column, justify="right", no_wrap=True)
        for run in runs:
            if (run.grid, run.sites) != (grid, sites):
                continue
            figures = ["", "", "", ""]
            if run.id in known:
                model, mechanism = known[run.id]["model"], known[run.id]["mechanism"]
                numbers = [model["macs"], model["parameters"]]
                numbers += [mechanism["macs"], mechanism["parameters"]]
                figures = [f"{number / 1e6:,.2f}" for number in numbers]
            table.add_row(run.mechanism, str(run.seed), states[run.id], *figures)
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
    from rich.console import Console

    from study import data
    from study.launch.local import LocalLauncher
    from study.progress import Progress
    from study.provenance import cores
    from study.run import default_root, open_folder

    console, runs = Console(), runs_of(grids)
    for name in dict.fromkeys(run.data for run in runs):
        data.card(name)
    folders = [open_folder(run, (root or default_root()).resolve()) for run in runs]
    missing = [folder for folder in folders if folder.state() not in ("completed", "running")]
    if not missing:
        console.print(f"nothing to do: {_tally([folder.state() for folder in folders])}")
        raise typer.Exit(0 if all(f.state() == "completed" for f in folders) else 1)
    launcher = LocalLauncher(min(slots, len(missing)))
    console.print(
        f"{len(missing)} of {len(runs)} runs to train, {launcher.slots} at a time, "
        f"{launcher.threads} of {cores()} threads each"
    )
    with Progress(folders, console) as progress:
        finished = launcher.run(missing, progress.refresh)
    console.print(_tally([folder.state() for folder in folders]))
    if not finished:
        console.print("stopped; the same command goes on from the last checkpoints")
        raise typer.Exit(130)
    for folder in folders:
        attempts = folder.attempts
        if folder.state() != "completed" and attempts and attempts[-1].exit:
            console.print(f"[red]{folder.state()}[/] {folder.path.name}", soft_wrap=True)
            console.print(f"  {attempts[-1].exit['error']}", markup=False, soft_wrap=True)
            console.print(f"  study logs --err {folder.path.name}", soft_wrap=True)
    raise typer.Exit(0 if all(folder.state() == "completed" for folder in folders) else 1)


def _tally(states: list[str]) -> str:
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
