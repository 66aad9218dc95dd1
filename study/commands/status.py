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
    Tags,
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
    tag: Tags = None,
    as_json: Json = False,
    root: Root = None,
) -> None:
    """Count the runs in each state and name those that need attention. Writes nothing.

    With --state, name the runs in these states, whatever they are. Of running ones it shows the
    last sign of life; those that have been silent for far longer than before are always named, and
    so are nodes on which runs end at once.

    Exit code 0 if all are completed, 1 if some need attention (failed, oom, killed, timeout,
    preempted, lost, broken), 3 if some are planned, queued or running and none needs attention.
    """
    from study.runs.folder import STATES
    from study.runs.run import existing_root
    from study.screen import Screen
    from study.status.rows import attention, json_list, remark, row
    from study.status.signs import sign_of
    from study.status.states import DONE, OPEN

    _, found = select(grids, root, state, mechanism, seed, run, tag)
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
        names = [name for name, is_in in found.of.items() if is_in == each]
        signs = {n: sign for n in names if each == "running" and (sign := sign_of(found.seen[n]))}
        if each in (DONE, *OPEN) and each not in (state or ()):
            names = [name for name, sign in signs.items() if sign.overdue]
        for name in names[:NAMES_SHOWN]:
            told = signs.get(name, "") if each in (DONE, *OPEN) else attention(found, name)
            console.print(f"         {name}{f'  {told}' if told else ''}")
        if len(names) > NAMES_SHOWN:
            console.print(f"         and {len(names) - NAMES_SHOWN} more (--json has all)")
    if not counts:
        where = existing_root(root).resolve()
        console.print(f"no run is {' or '.join(state)}" if state else f"no runs in {where}")
    for node in found.nodes.bad:
        console.print(f"node {node}. The next study submit leaves it out")
    if found.code == 1:
        console.print("study triage groups what failed; docs/when-a-run-fails.md says what to do")
    raise typer.Exit(found.code)
