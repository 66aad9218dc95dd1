"""``study archive``: finished runs as small files to commit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.select import Grids, Mechanisms, Names, Root, Seeds, notes, select
from study.units import size

__all__ = ["register"]

LARGE = 100_000  # bytes of one file; larger ones burden a repository


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(archive)


def archive(
    grids: Grids,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write into.", show_default="$STUDY_RESULTS or results"),
    ] = None,
    items: Annotated[
        bool, typer.Option("--items", help="Keep items.npz too, as <run id>.npz.")
    ] = False,
    root: Root = None,
) -> None:
    """Write finished runs to <out>/<grid>/<run id>.json, small enough to commit.

    An archived run counts as done wherever that file is, and its numbers are in every table. It is
    safe to repeat: a file that is there stays, and a different content is an error.
    """
    from study.runs.archive import ArchivedRun, index, results_root, store, store_items
    from study.runs.run import existing_root

    _, found = select(grids, root, None, mechanism, seed, run)
    notes(found)
    place = out or results_root()
    there = index(existing_root(root), place)
    written, same, left, with_items = 0, 0, 0, 0
    for name, state in found.of.items():
        folder = found.seen[name]
        if state != "completed":
            left += 1
        elif isinstance(folder, ArchivedRun):
            same += 1
        else:
            # A run of two grids has one file, in the folder of the first.
            file = there.get(name) or place / found.asked[name].grid / f"{name}.json"
            new = store(folder, file)
            written, same = written + new, same + (not new)
            with_items += items and store_items(folder, file)
            if new and (taken := file.stat().st_size) > LARGE:
                typer.echo(f"note: {file} has {size(taken)}", err=True)
    more = f", {same} archived before" if same else ""
    rest = f", {left} not finished" if left else ""
    if items:
        more += f", items of {with_items}"
    typer.echo(f"{written} runs archived in {place}{more}{rest}")
