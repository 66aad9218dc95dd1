"""``study collect``: the runs table as two files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import Grids, Runs, folders, questions, root

__all__ = ["collect"]


def collect(
    grids: Grids = None,
    runs: Runs = None,
    out: Annotated[
        Path, typer.Option(help="File to write: Parquet, and CSV of the same name beside it.")
    ] = Path("results/runs.parquet"),
) -> None:
    """Gather runs into one table, a row a run, as Parquet and CSV; reads what is new."""
    from analysis.runs.collect import update
    from analysis.runs.table import files
    from study.errors import StudyError

    parquet, text = files(out)
    place = root(runs)
    # A run that several grids ask for is one run.
    asked = {f.path.name: f for question in questions(grids) for f in folders(question, place)}
    if not asked:
        raise StudyError(f"no runs under {place.resolve()}; {parquet} is left as it is")
    found = update([*asked.values()], parquet, text)
    counts = f"{found.runs} runs, {found.completed} completed"
    if found.changed:
        print(f"{counts} -> {parquet}, {text}")
    else:
        print(f"nothing changed: {counts} in {parquet}, {text}")
    for path, reason in found.broken:
        print(f"skipped {path}: {reason}")
