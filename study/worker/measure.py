"""Count what runs would cost, in a process that has the frameworks."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.runs.folder import RunFolder
from study.runs.run import Run
from study.worker.child import Child
from study.worker.counted import Counted
from study.worker.job import job_without_data
from study.worker.parent import Parent

__all__ = ["costs", "count"]


def costs(
    runs: Sequence[Run],
    way_out: str = " (--no-cost leaves it out)",
    progress: Callable[[str], None] = lambda line: None,
) -> dict[str, dict[str, Any]]:
    """Return the cost of each run by its id; the models are built but not trained.

    Runs that differ only in the seed are counted once, and what was counted before is not counted
    again. A data set need not be prepared if its module says in ``OUTPUTS`` how many classes, or
    words, there are.

    Parameters
    ----------
    runs: sequence of Run
        Of any tasks.
    way_out: str
        Follows on "cannot count the cost" in the message of an error.
    progress: callable
        Told how many models are built so far.

    Raises
    ------
    StudyError
        If a model cannot be built.
    """
    distinct = {run.configuration: run.science for run in runs}
    before = Counted()
    found: dict[str, dict[str, Any] | None] = {
        name: before.find(science) for name, science in distinct.items()
    }
    missing = [name for name, cost in found.items() if cost is None]
    if missing:
        try:
            with Child(f"{__name__}:count") as child:
                child.tell([distinct[name] for name in missing])
                for number, name in enumerate(missing):
                    progress(f"building the models: {number} of {len(missing)}")
                    found[name] = child.hear()
                    before.keep(distinct[name], found[name] or {})
        except StudyError as error:
            raise StudyError(f"cannot count the cost{way_out}: {error}") from error
    return {run.id: found[run.configuration] or {} for run in runs}


def count(parent: Parent) -> None:
    """Tell the cost of each science configuration that the parent asks for."""
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as nowhere:
        for science in parent.hear():
            try:
                parent.tell(_cost(science, Path(nowhere)))
            except Exception as error:
                name = f"{science['mechanism']} at {', '.join(science['sites'])}"
                raise StudyError(f"{name}: {type(error).__name__}: {error}") from error


def _cost(science: dict[str, Any], nowhere: Path) -> dict[str, Any]:
    job, outputs = job_without_data(science, RunFolder(nowhere), "cpu")
    return find_task(science["task"]).cost(job, outputs).to_json()
