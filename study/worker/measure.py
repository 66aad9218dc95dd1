"""Count what runs would cost, in a process that has the frameworks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.runs.folder import RunFolder
from study.runs.run import Run
from study.worker.child import ask
from study.worker.job import job_without_data

__all__ = ["costs", "costs_here"]


def costs(
    runs: Sequence[Run], way_out: str = " (--no-cost leaves it out)"
) -> dict[str, dict[str, Any]]:
    """Return the cost of each run by its id; the models are built but not trained.

    Runs that differ only in the seed are counted once. A data set need not be prepared if its
    module says in ``OUTPUTS`` how many classes, or words, there are.

    Raises
    ------
    StudyError
        If a model cannot be built; `way_out` follows on "cannot count the cost".
    """
    distinct = {run.configuration: run.science for run in runs}
    if not distinct:
        return {}
    try:
        found = ask(f"{__name__}:costs_here", {"sciences": list(distinct.values())})
    except StudyError as error:
        raise StudyError(f"cannot count the cost{way_out}: {error}") from error
    counted = dict(zip(distinct, found, strict=True))
    return {run.id: counted[run.configuration] for run in runs}


def costs_here(sciences: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the costs of science configurations, counted in this process."""
    counted = []
    with tempfile.TemporaryDirectory() as nowhere:
        for science in sciences:
            try:
                counted.append(_cost(science, Path(nowhere)))
            except Exception as error:
                name = f"{science['mechanism']} at {', '.join(science['sites'])}"
                raise StudyError(f"{name}: {type(error).__name__}: {error}") from error
    return counted


def _cost(science: dict[str, Any], nowhere: Path) -> dict[str, Any]:
    job, outputs = job_without_data(science, RunFolder(nowhere), "cpu")
    return find_task(science["task"]).cost(job, outputs).to_json()
