"""``study status``: how many runs are in each state, and which need somebody."""

from __future__ import annotations

import typer

from study.commands.select import (
    Json,
    Mechanisms,
    Names,
    Root,
    Seeds,
    SomeGrids,
    Wanted,
    notes,
    select,
)

__all__ = ["NAMES_SHOWN", "register"]

NAMES_SHOWN = 20  # of the runs in one state


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(status)


def status(
    grids: SomeGrids = None,
    state: Wanted = None,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    as_json: Json = False,
    root: Root = None,
) -> None:
    """Count the runs in each state and name those that need attention. Writes nothing.

    With --state, name the runs in these states, whatever they are.

    Exit code 0 if all are completed, 1 if some need attention (failed, oom, killed, timeout,
    preempted, lost, broken), 3 if some are planned, queued or running and none needs attention.
    """
    from study.runs.folder import STATES
    from study.runs.run import existing_root
    from study.screen import Screen
    from study.status.rows import error_of, json_list, remark, row
    from study.status.states import DONE, OPEN

    _, found = select(grids, root, state, mechanism, seed, run)
    notes(found)
    if as_json:
        typer.echo(json_list([row(found, name) for name in found.of]))
        raise typer.Exit(found.code)
    console = Screen()
    counts = found.count()
    for each in (*STATES, "broken"):
        if each not in counts:
            continue
        console.print(f"{counts[each]:>6} {each}{remark(found, each)}")
        if each in (state or ()) or each not in (DONE, *OPEN):
            names = [name for name, is_in in found.of.items() if is_in == each]
            for name in names[:NAMES_SHOWN]:
                error = error_of(found.seen[name]) if each not in (DONE, *OPEN) else ""
                console.print(f"         {name}{f'  {error}' if error else ''}")
            if len(names) > NAMES_SHOWN:
                console.print(f"         and {len(names) - NAMES_SHOWN} more (--json has all)")
    if not counts:
        where = existing_root(root).resolve()
        console.print(f"no run is {' or '.join(state)}" if state else f"no runs in {where}")
    if found.code == 1:
        console.print("study triage groups what failed; docs/when-a-run-fails.md says what to do")
    raise typer.Exit(found.code)
