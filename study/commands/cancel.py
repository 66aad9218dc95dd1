"""``study cancel``: end runs that are queued or running."""

from __future__ import annotations

import typer

from study.commands.jobs import Yes, agree, refuse
from study.commands.select import Mechanisms, Names, Root, Seeds, SomeGrids, Wanted, notes, select

__all__ = ["register"]

ENDED = ("queued", "running")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(cancel)


def cancel(
    grids: SomeGrids = None,
    state: Wanted = None,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    yes: Yes = False,
    root: Root = None,
) -> None:
    """End runs that are queued or running; they leave their checkpoints.

    After that study submit leaves them alone; study retry continues them. Exit code 1 if some could
    not be told, as a colleague's jobs, or where the scheduler does not answer.
    """
    from study.launch.cancel import cancel as end
    from study.screen import Screen

    console = Screen()
    refuse(state, ENDED, "cancelled")
    folders, states = select(grids, root, list(state or ENDED), mechanism, seed, run)
    notes(states)
    agree(folders, states, "cancel", yes, console)
    told = end(folders, states.said)
    while True:
        try:
            console.print(next(told))
        except StopIteration as ended:
            raise typer.Exit(1 if ended.value else 0) from None
