"""Count what runs would cost, in a process that has the frameworks.

``python -m study.worker.measure`` reads a JSON list of science configurations and writes
one of costs.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from study import data
from study.errors import StudyError
from study.runs.folder import RunFolder
from study.runs.run import Run, science_hash

__all__ = ["costs"]


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
    distinct = {_key(run): run.science for run in runs}
    if not distinct:
        return {}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "study.worker.measure"],
        input=json.dumps(list(distinct.values())),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise StudyError(f"cannot count the cost{way_out}: {lines[-1]}")
    counted = dict(zip(distinct, json.loads(done.stdout), strict=True))
    return {run.id: counted[_key(run)] for run in runs}


def _key(run: Run) -> str:
    return science_hash({**run.science, "seed": 0})


def _cost(science: dict[str, Any], nowhere: Path) -> dict[str, Any]:
    from plugins.contracts.tasks import find_task
    from study.worker.main import job_of

    folder = RunFolder(nowhere)
    task, name = find_task(science["task"]), science["recipe"]["data"]
    outputs = getattr(importlib.import_module(data.datasets()[name]), "OUTPUTS", None)
    if data.is_prepared(name) or outputs is None:
        return task.cost(job_of(science, folder, "cpu")).to_json()
    return task.cost(job_of(science, folder, "cpu", data_folder=nowhere), outputs).to_json()


def _main() -> None:
    sciences, counted = json.load(sys.stdin), []
    # Frameworks greet on stdout, which belongs to the answer.
    with contextlib.redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as nowhere:
        for science in sciences:
            try:
                counted.append(_cost(science, Path(nowhere)))
            except Exception as error:
                name = f"{science['mechanism']} at {', '.join(science['sites'])}"
                raise StudyError(f"{name}: {type(error).__name__}: {error}") from error
    json.dump(counted, sys.stdout)


if __name__ == "__main__":
    try:
        _main()
    except StudyError as error:
        sys.exit(str(error))
