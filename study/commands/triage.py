"""``study triage``: what failed, by mistake rather than by run."""

from __future__ import annotations

import shlex
from typing import Any

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

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(triage)


def triage(
    grids: SomeGrids = None,
    state: Wanted = None,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    as_json: Json = False,
    root: Root = None,
) -> None:
    """Group the failed runs by their mistake. Writes nothing.

    Failed means failed, oom, killed, timeout or lost. Numbers, addresses, folders and run ids make
    no difference: a thousand failures of one cause are one line.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from study.errors import StudyError, nearest
    from study.screen import Screen
    from study.status.rows import json_list
    from study.status.triage import FAILURES, failures

    for wanted in state or ():
        if wanted not in FAILURES:
            raise StudyError(f"--state: {wanted!r} is no failure{nearest(wanted, FAILURES)}")
    _, found = select(grids, root, list(state or FAILURES), mechanism, seed, run)
    notes(found)
    rows: list[dict[str, Any]] = [
        {
            "count": len(failure.runs),
            "state": failure.signature.state,
            "where": failure.signature.where,
            "error": failure.signature.error,
            "example": failure.runs[0],
            "runs": failure.runs,
        }
        for failure in failures(found, list(found.of))
    ]
    if as_json:
        typer.echo(json_list(rows))
        return
    console = Screen()
    if not rows:
        console.print("nothing failed")
        return
    table = Table("runs", "state", box=SIMPLE_HEAD, show_lines=False)
    for column in ("where", "what", "for example"):
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = (row[key] for key in ("where", "error", "example"))
        table.add_row(str(row["count"]), row["state"], *cells)
    console.table(table)
    named = [shlex.quote(str(grid)) for grid in grids or ()]
    next_steps = [f"study logs --err {rows[0]['example']}"]
    for each in dict.fromkeys(row["state"] for row in rows):
        next_steps.append(" ".join(["study retry", *named, "--state", each]))
    console.print("\n".join(next_steps))
