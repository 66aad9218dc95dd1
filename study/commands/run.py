"""``study run``: train what is missing, on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from study.commands.select import (
    Device,
    Grids,
    Mechanisms,
    OneDevice,
    Root,
    Seeds,
    Smoke,
    Unfit,
    notes,
    runs_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from study.screen import Screen
    from study.status.states import States

__all__ = ["register", "report"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(run)


def run(
    grids: Grids,
    slots: Annotated[int, typer.Option(min=1, help="Runs at a time.")] = 1,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    smoke: Smoke = False,
    device: OneDevice = None,
    unfit: Unfit = False,
    root: Root = None,
) -> None:
    """Train what is missing, on this machine. What is finished is not trained again.

    Archived runs, and runs queued on a cluster, are left alone. Exit code 0 if all runs are
    complete, 1 if some are not, 130 if you stopped it.
    """
    from study import data
    from study.data import weights
    from study.grid.changed import changed_data, changed_recipes
    from study.launch.fits import check_fit, check_items, unfinished
    from study.launch.local.slots import Slots
    from study.runs.folder import SETTLED, RunFolder
    from study.runs.probe import Probes
    from study.runs.provenance import cores
    from study.runs.run import open_folder, root_to_fill
    from study.screen import Screen
    from study.status.progress import Progress
    from study.status.rows import tally
    from study.status.states import states_of

    console, runs = Screen(), runs_of(grids, mechanism, seed, smoke)
    for name in dict.fromkeys(run.data for run in runs):
        data.verify(name)
    check_items(runs)
    where = root_to_fill(root, smoke)
    for line in check_fit(unfinished(runs, where), Probes(root), 1, None, unfit):
        console.print(line)
    for line in [*changed_recipes(runs, where), *changed_data(runs, where)]:
        console.print(line)
    folders = [RunFolder(where / run.id) for run in runs]
    states = states_of(folders)
    notes(states)
    due = [run.science for run in runs if states.of[run.id] not in SETTLED]
    weights.fetch(weights.needed(due), grids, console.print)
    missing = []
    for run, folder in zip(runs, folders, strict=True):
        state = states.of[run.id]
        wanted = state not in SETTLED
        # Compare existing folders with the grid, even if they are not needed now.
        if wanted or (folder.path.exists() and state != "broken"):
            open_folder(run, where)
        if wanted:
            missing.append(folder)
    if not missing:
        console.print(f"nothing to do: {tally(states)}")
        raise typer.Exit(report(states, console))
    pool = Slots(min(slots, len(missing)), _gpus(device, console.print))
    console.print(
        f"{len(missing)} of {len(runs)} runs to train, {pool.slots} at a time, "
        f"{pool.threads} of {cores()} threads each"
    )
    if smoke:
        console.print(f"in {where}")
        whole = runs_of(grids, mechanism, seed)
        for line in weights.lacking(weights.needed(run.science for run in whole), grids):
            console.print(f"without --smoke: {line}")
    with Progress(folders, console) as progress:
        finished = pool.run(missing, progress.refresh, console.print, states.said)
    console.print(tally(progress.states))
    if not finished:
        with_place = f" with --runs {where}" if smoke else ""
        console.print(f"stopped; the same command{with_place} goes on from the last checkpoints")
        raise typer.Exit(130)
    raise typer.Exit(report(progress.states, console))


def _gpus(device: Device | None, tell: Callable[[str], None]) -> list[str]:
    """Return the GPUs to train on; none for the CPU."""
    from study.errors import StudyError
    from study.launch.gpus import listed_gpus

    if device == Device.CPU:
        return []
    listing = listed_gpus()
    for note in listing.notes:
        tell(f"warning: {note}")
    if device == Device.CUDA and not listing.names:
        raise StudyError("--device cuda: no GPU is listed here; nvidia-smi -L shows why")
    return listing.names


def report(states: States, console: Screen) -> int:
    """Name the runs that are not complete, and why; return the exit code."""
    from study.commands.status import NAMES_SHOWN
    from study.runs.run import elsewhere
    from study.status.rows import shown, why_broken

    open_ = [n for n, state in states.of.items() if state not in ("completed", "planned", "queued")]
    for name in open_[:NAMES_SHOWN]:
        state, folder = states.of[name], states.seen[name]
        console.print(f"{state if state == 'broken' else shown(state, folder)} {name}")
        if state == "broken":
            console.print(f"  {why_broken(folder)}")
            continue
        newest = folder.newest
        if newest is None:
            continue
        if state == "running" and not newest.by_job and newest.submission:
            console.print(f"  process {newest.submission['pid']} on {newest.submission['host']}")
        elif newest.exit:
            console.print(f"  {newest.exit.get('error', '')}")
            console.print(f"  study logs --err {name}{elsewhere(folder.path.parent)}")
    if len(open_) > NAMES_SHOWN:
        where = states.seen[open_[0]].path.parent
        console.print(f"and {len(open_) - NAMES_SHOWN} more: study status{elsewhere(where)}")
    return 0 if states.code == 0 else 1
