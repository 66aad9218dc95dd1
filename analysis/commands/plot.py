"""``study plot``: the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import Grids, Runs, Table, answered

__all__ = ["plot"]


def plot(
    grids: Grids = None,
    runs: Runs = None,
    table: Table = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("results/figures"),
) -> None:
    """Draw every figure that the runs allow, as PNG, SVG and PDF; a folder for each grid."""
    from analysis.figures.all import NEEDS, draw_all

    for question, frame in answered(grids, runs, table):
        drawn = draw_all(frame, out / question.name, question.baseline)
        for path in (path for paths in drawn.values() for path in paths):
            print(path)
        whose = f"{question.name}: " if question.name else ""
        for kind in (kind for kind, paths in drawn.items() if not paths):
            typer.echo(f"{whose}no figure of {kind}: it needs {NEEDS[kind]}", err=True)
