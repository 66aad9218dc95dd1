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

NODES_SHOWN = 4


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

    Failed means failed, oom, killed, timeout or lost. Numbers, addresses, folders, run ids and
    nodes make no difference: a thousand failures of one cause are one line, with their nodes.
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
            "nodes": dict(failure.nodes.most_common()),
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
    for column in ("where", "what", "on", "for example"):
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = (row["where"], row["error"], _nodes(row["nodes"]), row["example"])
        table.add_row(str(row["count"]), row["state"], *cells)
    console.table(table)
    for node in found.nodes.bad:
        console.print(f"node {node}. The next study submit leaves it out")
    named = [shlex.quote(str(grid)) for grid in grids or ()]
    next_steps = [f"study logs --err {rows[0]['example']}"]
    for each in dict.fromkeys(row["state"] for row in rows):
        next_steps.append(" ".join(["study retry", *named, "--state", each]))
    console.print("\n".join(next_steps))


def _nodes(counts: dict[str, int]) -> str:
    """Return the nodes with the most failures, and how many there are of others."""
    first = [f"{node} {count}" for node, count in [*counts.items()][:NODES_SHOWN]]
    return ", ".join(first + [f"{len(counts) - NODES_SHOWN} more"] * (len(counts) > NODES_SHOWN))
