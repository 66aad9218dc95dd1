"""``study plot``: the figures."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import WITHOUT, Grids, Question, Runs, Table, answered, union

__all__ = ["plot"]


def plot(
    grids: Grids = None,
    runs: Runs = None,
    table: Table = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("results/figures"),
    plain: Annotated[
        bool, typer.Option("--plain", help="Without heading and notes: for a paper.")
    ] = False,
    width: Annotated[
        str | None,
        typer.Option(metavar="WIDTH", help="Of each figure, such as 3.25in, 8.5cm or 85mm."),
    ] = None,
) -> None:
    """Draw every figure that the runs allow, as PNG, SVG and PDF, with its caption as text.

    Each grid has a folder, and in the one above is what several of them show together. Verdicts are
    drawn by the margins that are registered of the grids, or else by the usual ones.
    """
    from analysis.commands.judging import registered
    from analysis.figures.all import draw_all, kinds
    from analysis.figures.drawing.form import Form, inches, shaped

    form = Form(None if width is None else inches(width), plain)
    asked = answered(grids, runs, table)
    if len(asked) > 1:
        together = Question(os.path.commonpath([q.name for q, _ in asked]), WITHOUT, "")
        asked.insert(0, (together, union(frame for _, frame in asked)))
    for question, frame in asked:
        of = grids if question.file is None else [question.file]
        with shaped(replace(form, margins=registered(of or ()))):
            drawn = draw_all(frame, out / question.name, question.baseline)
        for path in (path for paths in drawn.values() for path in paths):
            print(path)
        whose = f"{question.name}: " if question.name else ""
        for kind in (kind for kind, paths in drawn.items() if not paths):
            typer.echo(f"{whose}no figure of {kind}: it needs {kinds()[kind].needs}", err=True)
