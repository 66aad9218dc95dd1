"""``study plot``: the figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import Grids, Runs, finished, questions, root

__all__ = ["plot"]


def plot(
    grids: Grids = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("results/figures"),
) -> None:
    """Draw accuracy against the mechanism's cost, as PNG, SVG and PDF; a folder for each grid."""
    from analysis.figures.accuracy_cost import plot as draw

    for question in questions(grids):
        frame = finished(question, root(runs))
        for path in draw(frame, out / question.name, question.baseline):
            print(path)
