"""Look into the attention of a trained run, in a process that has its framework."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugins.contracts.task import Looks
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.runs.folder import RunFolder
from study.worker import device as devices
from study.worker.child import ask
from study.worker.job import job_of

__all__ = ["look", "look_here"]


def look(folder: RunFolder, source: str, query: tuple[int, int] | str | None, out: Path) -> None:
    """Write what the task's ``look`` returns into the file `out`.

    Parameters
    ----------
    folder: RunFolder
        A run with at least one checkpoint.
    source: str
        An image file, or a sentence.
    query: tuple of int or str, optional
        Column and row of a pixel, or a question; for images only.
    out: Path
        A ``.npz`` file.

    Raises
    ------
    StudyError
        If the plugin could not look; its message says why.
    """
    asked = {"folder": str(folder.path), "source": source, "query": query, "out": str(out)}
    ask(f"{__name__}:look_here", asked)


def look_here(folder: str, source: str, query: list[int] | str | None, out: str) -> None:
    """Do what `look` does, in this process."""
    import numpy as np

    looked_into = RunFolder(Path(folder))
    run = looked_into.run
    assert run is not None
    task = find_task(run["science"]["task"])
    if not isinstance(task, Looks):
        raise StudyError(f"the task {task.name!r} cannot show where a model looks")
    if task.asks and not isinstance(query, str):
        raise StudyError(
            f"in {task.name} a question looks at an image: study attend RUN IMAGE 'what is it?'"
        )
    if isinstance(query, str) and not task.asks:
        raise StudyError(f"the task {task.name!r} takes no question, but {query!r} is given")
    devices.use("cpu")
    try:
        job = job_of(run["science"], looked_into, "cpu")
        asked = (query[0], query[1]) if isinstance(query, list) else query
        arrays: dict[str, Any] = task.look(job, source, asked)
    except ValueError as error:
        raise StudyError(str(error)) from error
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, **arrays)
