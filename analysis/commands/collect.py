"""``study collect``: the runs table as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import Grids, Runs, frame, questions, root, write

__all__ = ["collect"]


def collect(
    grids: Grids = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="CSV file to write.")] = Path("results/runs.csv"),
) -> None:
    """Gather run folders into one CSV file, a row a run."""
    import pandas as pd

    from study.errors import StudyError

    folder = root(runs)
    frames = [frame(question, folder) for question in questions(grids)]
    # A run that several grids ask for is one run.
    whole = pd.concat(frames, ignore_index=True).drop_duplicates("id")
    if whole.empty:
        raise StudyError(f"no runs under {folder.resolve()}; {out} is left as it is")
    write(out, whole.to_csv(index=False))
    broken = dict(pair for one in frames for pair in one.attrs["broken"])
    done = int((whole["state"] == "completed").sum())
    print(f"{len(whole)} runs, {done} completed -> {out}")
    for path, reason in broken.items():
        print(f"skipped {path}: {reason}")
