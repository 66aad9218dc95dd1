"""Runs as a frame, for a notebook."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from analysis.commands.question import frame, questions, root, union
from study.api import paths

if TYPE_CHECKING:
    import pandas as pd

    from study.api import Grids

__all__ = ["load_runs"]


def load_runs(
    grids: Grids | None = None,
    runs: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
) -> pd.DataFrame:
    """Return the runs table: a row a run, archived ones included.

    Parameters
    ----------
    grids: path or sequence of paths, optional
        Grid files, or folders of them; every run by default.
    runs: path, optional
        Folder of run folders; ``$STUDY_RUNS`` or ``results/runs`` by default.
    table: path, optional
        A file of ``study collect`` to read instead, Parquet or CSV.

    Returns
    -------
    pandas.DataFrame
        The columns of ``docs/runs-table.md``: among them ``mechanism``, ``sites``, ``seed``,
        ``state``, ``value`` of the task's first ``metric``, and ``mechanism_macs``.
        ``attrs["broken"]`` lists what could not be read, and why.

    Raises
    ------
    StudyError
        As ``study table`` prints it.
    """
    asked = questions(paths(grids) if grids is not None else None)
    file = None if table is None else Path(table)
    where = Path() if file is not None else root(None if runs is None else Path(runs))
    frames = [frame(question, where, file) for question in asked]
    whole = union(frames)
    whole.attrs["broken"] = [entry for each in frames for entry in each.attrs.get("broken", [])]
    return whole
