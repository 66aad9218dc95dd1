"""``study data``: the embedded data sets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Embedded data sets: prepare them, list them.", no_args_is_help=True)

Root = Annotated[
    Path | None,
    typer.Option(help="Folder of the data sets [default: $STUDY_DATA, else in the user's cache]."),
]


@app.command("prepare")
def prepare(
    names: Annotated[list[str] | None, typer.Argument(help="Names of data sets.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All data sets.")] = False,
    root: Root = None,
) -> None:
    """Download and build data sets; what is there already is left alone."""
    from study import data
    from study.errors import StudyError

    known = data.datasets()
    if not names and not every:
        raise StudyError(f"name data sets to prepare, or use --all; valid: {', '.join(known)}")
    data.prepare(known if every else names or [], root)


@app.command("list")
def list_(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    root: Root = None,
) -> None:
    """List the data sets, what they are made of, and whether they are prepared."""
    from study import data

    rows = data.overview(root)
    if as_json:
        typer.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "task", "prepared", "download", "what it is", box=None)
    for row in rows:
        size = f"{row['download_bytes'] / data.MEGABYTE:.0f} MB"
        ready = "yes" if row["prepared"] else "no"
        table.add_row(row["name"], row["task"], ready, size, row["line"])
    Console().print(table)
