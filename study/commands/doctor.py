"""``study doctor``: what this machine has, and what brings the rest."""

from __future__ import annotations

import dataclasses
import json

import typer

from study.commands.select import Json

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor(as_json: Json = False) -> None:
    """Show versions, ops, cores, GPUs, schedulers and data, and how to get what is missing.

    Exit code 1 if something is missing that the study needs.
    """
    from rich.table import Table
    from rich.text import Text

    from study.commands.checks import run_checks
    from study.screen import Screen

    with Screen(stderr=True).status("importing the frameworks, looking for data and weights"):
        checks = run_checks()
    lacking = any(not check.ok and not check.optional for check in checks)
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(check) for check in checks], indent=1))
        raise typer.Exit(1 if lacking else 0)
    table = Table("", "what", "found", "how to get it", box=None)
    for column in table.columns:
        column.overflow = "fold"
    for check in checks:
        sign, style = (
            ("ok", "green") if check.ok else ("--", "yellow") if check.optional else ("no", "red")
        )
        table.add_row(Text(sign, style), check.what, check.found, "" if check.ok else check.remedy)
    Screen().table(table)
    if lacking:
        raise typer.Exit(1)
