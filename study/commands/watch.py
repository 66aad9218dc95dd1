"""``study watch``: a table that follows what runs do, wherever they are trained."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from study.commands.select import Mechanisms, Names, Root, Seeds, SomeGrids, notes, select

__all__ = ["register"]

POLL_SECONDS = 0.2
QUIET_REFRESHES = 2  # with no run queued or running: between two runs `study run` has none


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(watch)


def watch(
    grids: SomeGrids = None,
    every: Annotated[float, typer.Option(min=0.2, help="Seconds between two refreshes.")] = 10.0,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    root: Root = None,
) -> None:
    """Follow runs until none is queued or running; Ctrl-C ends the watch, not the runs.

    On a terminal it shows a live table; elsewhere, a line for each change. Writes nothing. The
    scheduler is asked every ten seconds at most. Exit codes as of study status; 130 after Ctrl-C.
    """
    from study.screen import Screen
    from study.status.progress import Progress
    from study.status.rows import tally

    console = Screen()
    folders, found = select(grids, root, None, mechanism, seed, run)
    if not console.is_terminal:
        notes(found)
        console.print(f"{len(folders)} runs: {tally(found)}")
    quiet = 0
    try:
        with Progress(folders, console, every, found.said) as progress:
            while True:
                under_way = {"queued", "running"} & {*progress.states.of.values()}
                quiet = 0 if under_way else quiet + 1
                if quiet == QUIET_REFRESHES or progress.states.code == 0:
                    break
                before = progress.refreshes
                while progress.refreshes == before:
                    time.sleep(POLL_SECONDS)
                    progress.refresh()
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    console.print(f"nothing is queued or running: {tally(progress.states)}")
    raise typer.Exit(progress.states.code)
