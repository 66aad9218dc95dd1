"""``study doctor``: what this machine has, and what brings the rest."""

from __future__ import annotations

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(doctor)


def doctor() -> None:
    """Show versions, ops, threads, GPUs, Slurm and data, and how to get what is missing."""
    from rich.console import Console
    from rich.table import Table

    from study.checks import run_checks

    table = Table("", "what", "found", "how to get it", box=None)
    for column in table.columns:
        column.overflow = "fold"
    checks = run_checks()
    for check in checks:
        sign = "[green]ok[/]" if check.ok else "[yellow]--[/]" if check.optional else "[red]no[/]"
        table.add_row(sign, check.what, check.found, "" if check.ok else check.remedy)
    Console().print(table)
    if any(not check.ok and not check.optional for check in checks):
        raise typer.Exit(1)
