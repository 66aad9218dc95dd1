"""The verbs of a notebook: what a grid asks for, as a frame, and its way to a cluster."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from study.grid.grid import Grid

    Grids = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]

__all__ = ["load_grid", "paths", "plan", "submit"]


def load_grid(path: str | os.PathLike[str]) -> Grid:
    """Return a grid file's content, checked; ``grid.runs()`` are the runs that it asks for.

    Raises
    ------
    StudyError
        With a line for each mistake in the file.
    """
    from study.grid.reading import load

    return load(Path(path))


def plan(
    grids: Grids,
    runs: str | os.PathLike[str] | None = None,
    mechanism: Sequence[str] | None = None,
    seed: Sequence[int] | None = None,
    smoke: bool = False,
) -> pd.DataFrame:
    """Return what grids ask for, a row a run, and what has become of it. Writes nothing.

    Parameters
    ----------
    grids: path or sequence of paths
        Grid files, or folders of them.
    runs: path, optional
        Folder of run folders; ``$STUDY_RUNS`` or ``results/runs`` by default.
    mechanism, seed: sequence, optional
        Only these.
    smoke: bool
        Their smoke forms.

    Returns
    -------
    pandas.DataFrame
        Columns ``id``, ``state``, ``archived``, ``grid``, ``task``, ``mechanism``, ``sites``,
        ``seed``, ``attempts``, ``cause``, ``seconds``, ``error`` and the others of
        ``study status --json``.

    Raises
    ------
    StudyError
        As ``study plan`` prints it.
    """
    import pandas as pd

    from study.commands.select import runs_of
    from study.runs.folder import RunFolder
    from study.runs.run import root_to_fill
    from study.status.rows import row
    from study.status.states import states_of

    where = root_to_fill(None if runs is None else Path(runs), smoke)
    asked = runs_of(paths(grids), list(mechanism or ()), list(seed or ()), smoke)
    found = states_of([RunFolder(where / run.id) for run in asked])
    found.asked = {run.id: run for run in asked}
    return pd.DataFrame([row(found, run.id) for run in asked])


def submit(
    grids: Grids,
    cluster: str | None = None,
    runs: str | os.PathLike[str] | None = None,
    **options: Any,
) -> pd.DataFrame:
    """Queue what is missing, print what ``study submit`` prints, and return the plan afterwards.

    Parameters
    ----------
    grids: path or sequence of paths
        Grid files, or folders of them.
    cluster: str, optional
        A profile; the usual one by default.
    runs: path, optional
        Folder of run folders; ``$STUDY_RUNS`` or ``results/runs`` by default.
    options
        Those of ``study submit``, by their names in Python: ``dry_run=True``, ``smoke=True``,
        ``max_parallel=8``.

    Raises
    ------
    StudyError
        As ``study submit`` prints it.
    """
    import typer

    from study.commands.submit import submit as verb

    with contextlib.suppress(typer.Exit):  # its code is for shells; the states say more
        verb(paths(grids), cluster=cluster, root=None if runs is None else Path(runs), **options)
    filters = {name: options[name] for name in ("mechanism", "seed", "smoke") if name in options}
    return plan(grids, runs, **filters)


def paths(given: Grids) -> list[Path]:
    """Return one path or several as a list of paths."""
    several = [given] if isinstance(given, str | os.PathLike) else given
    return [Path(path) for path in several]
