"""``study note``: a remark and tags on a run."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from study.commands.select import Root, RunId, find

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(note)


def note(
    run: RunId,
    text: Annotated[
        str | None, typer.Argument(help="What to remember; an empty text removes the old one.")
    ] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Add a tag, a word; may be repeated.")
    ] = None,
    untag: Annotated[
        list[str] | None, typer.Option("--untag", help="Remove a tag; may be repeated.")
    ] = None,
    root: Root = None,
) -> None:
    """Write a note on a run and give it tags; without either, print what it has.

    The note is a small file in the run folder, and changes nothing of the run. study inspect and
    study report show it, study status --tag chooses by it, study archive keeps it.
    """
    from study.runs import note as notes

    folder = find(root, run)
    there = notes.note(folder)
    if text is not None or tag or untag:
        there = notes.tagged(there, tag or (), untag or ())
        there = replace(there, text=there.text if text is None else text.strip())
        notes.write(folder, there)
    typer.echo(f"{folder.path.name}: {there.line or 'no note'}")
