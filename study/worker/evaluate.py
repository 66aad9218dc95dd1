"""Evaluate a checkpoint, in a process that has the frameworks."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from plugins.contracts.items import CountsItems
from plugins.contracts.job import CheckpointError
from plugins.contracts.task import Evaluates, Publishes
from plugins.contracts.tasks import find_task
from plugins.training.checkpoints import check_whole, few
from plugins.training.downloads import download
from study import data
from study.errors import StudyError, nearest
from study.runs.folder import RunFolder
from study.runs.items import write_items
from study.runs.run import Run, complete, differences
from study.worker import device as devices
from study.worker.child import ChildFailed, ask
from study.worker.job import job_of

__all__ = ["evaluate", "evaluate_here"]


def evaluate(
    run: Run,
    checkpoint: str,
    device: str = "cpu",
    progress: Callable[[str], None] = lambda line: None,
    items: Path | None = None,
) -> dict[str, Any]:
    """Return what the run's model reaches with the weights of a checkpoint. Writes no run.

    Parameters
    ----------
    run: Run
        Its seed does not matter.
    checkpoint: str
        A file, a URL, or a name that the task knows, such as those of MMDetection's model index. A
        download stays in torch's cache.
    device: str
        ``cpu`` or ``cuda``.
    progress: callable
        Given each line that the framework prints meanwhile.
    items: Path, optional
        A file to write what the metric is made of, item by item, as ``items.npz`` of a run.

    Returns
    -------
    dict
        ``metrics`` as in the run's ``val`` records; ``published``, the metrics that were published
        for this checkpoint and this data, by name, empty if there are none; ``name``, what it was
        published as, or None; ``notes``, in which respects they are not comparable; ``trained``,
        of a checkpoint in a run's folder, ``key: then -> now`` for all in which that run and this
        one differ but the seed.

    Raises
    ------
    StudyError
        If the data set is not there, the checkpoint cannot be had or read, or is of another model.
    """
    data.verify(run.data)
    if items is not None and not items.absolute().parent.is_dir():
        raise StudyError(f"{items} cannot be written: there is no folder {items.absolute().parent}")
    asked = {
        "science": run.science,
        "checkpoint": checkpoint,
        "device": device,
        "items": None if items is None else str(items.absolute()),
    }
    try:
        return ask(f"{__name__}:evaluate_here", asked, progress=progress)
    except ChildFailed as error:
        raise StudyError(f"cannot evaluate {checkpoint}: {error}") from error


def evaluate_here(
    science: dict[str, Any], checkpoint: str, device: str, items: str | None = None
) -> dict[str, Any]:
    """Do what `evaluate` does, in this process."""
    try:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
            return _evaluate(science, checkpoint, device, Path(scratch), items)
    except CheckpointError as error:
        raise StudyError(str(error)) from None


def _evaluate(
    science: dict[str, Any], checkpoint: str, device: str, scratch: Path, items: str | None
) -> dict[str, Any]:
    task = find_task(science["task"])
    index = task.published() if isinstance(task, Publishes) else None
    source, entry = _source(checkpoint, index)
    if not isinstance(task, Evaluates):
        raise StudyError(f"the task {task.name!r} does not evaluate checkpoints")
    if items and not isinstance(task, CountsItems):
        raise StudyError(
            f"--items: the task {task.name!r} does not tell what its metric is made of"
        )
    devices.use(device)
    job = job_of(science, RunFolder(scratch), device)
    if items:
        job = dataclasses.replace(job, items=lambda arrays: write_items(Path(items), arrays))
    answer: dict[str, Any] = {"name": None, "published": {}, "notes": []}
    if index is not None and entry is not None:
        index.check(job, entry)
        answer["name"] = entry.name
        answer["published"], answer["notes"] = _comparable(job, index, entry)
    if isinstance(source, str):  # only now, since it may be a download
        print(f"looking for {source} in torch's cache, else downloading it")
        source = download(source)
    check_whole(source)
    grid, trained, answer["trained"] = _trained(source, science)
    if trained not in ("", task.name):
        raise StudyError(f"{source} is of a run of {grid}, which is {trained}, not {task.name}")
    try:
        return answer | {"metrics": task.evaluate(job, source)}
    except CheckpointError as error:
        if not answer["trained"]:
            raise
        raise StudyError(
            f"{error}. Its run is of the grid {grid}, and differs from what was asked for in"
            f" {few(answer['trained'])}"
        ) from None


def _source(checkpoint: str, index: Any) -> tuple[Path | str, Any]:
    """Return a file or a URL, and what the task's index of published checkpoints has on it."""

    def published(word: str) -> Any:
        return index.find(word) if index else None

    if "://" in checkpoint:
        return checkpoint, published(Path(urlparse(checkpoint).path).name)
    try:
        path = Path(checkpoint).expanduser()
        if path.is_file():
            return path.resolve(), published(path.name)
        if (entry := published(checkpoint)) is not None:
            return entry.weights, entry
        if path.is_dir():
            raise StudyError(f"{checkpoint} is a folder; name a file in it{_such_as(path)}")
        if path.exists():
            raise StudyError(f"{checkpoint} is no ordinary file; write it to one first")
    except (OSError, RuntimeError) as error:  # the latter of a user without a home
        reason = getattr(error, "strerror", None) or error
        raise StudyError(f"{checkpoint} cannot be read: {reason}") from None
    if path.name != checkpoint or path.suffix in (".pt", ".pth"):
        raise StudyError(f"no such file: {checkpoint}")
    if index is None:
        raise StudyError(f"no such file: {checkpoint}; the task knows no published checkpoints")
    raise StudyError(
        f"no file and no published checkpoint {checkpoint!r}{nearest(checkpoint, index.names())}"
    )


def _such_as(folder: Path) -> str:
    """Return ``, such as FILE`` for the newest checkpoint in a run's folder, or another."""
    files = [f for place in (".", "checkpoints") for f in (folder / place).glob("*.pt*")]
    return f", such as {max(files, key=lambda file: file.stat().st_mtime)}" if files else ""


def _trained(checkpoint: Path, science: dict[str, Any]) -> tuple[str, str, list[str]]:
    """Return grid and task of the run that a checkpoint is of, and in what it differs."""
    try:
        run = RunFolder(checkpoint.parent.parent).run
    except (StudyError, OSError):
        run = None  # it was only to help
    if run is None or not isinstance(run["science"], dict):
        return "", "", []
    then = {**run["science"], "seed": science["seed"]}
    lines = sorted(
        differences(complete(then), complete(science)), key=lambda line: line.startswith("recipe.")
    )
    return run["grid"], str(then.get("task", "")), lines


def _comparable(job: Any, index: Any, entry: Any) -> tuple[dict[str, float], list[str]]:
    """Return the published metrics, and why ours may not be compared with them."""
    name = job.recipe.data
    if name != entry.data:
        return {}, []
    notes = index.otherwise_evaluated(job, entry)
    if other := data.card(name)["not_comparable_with"]:
        notes.append(f"the data set is a part of {other}")
    return entry.metrics, notes
