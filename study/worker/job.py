"""What a task is given to carry out a science configuration."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.contracts.tasks import find_task
from study import data
from study.files import append_jsonl
from study.runs.folder import RunFolder
from study.runs.items import FILE, write_items

__all__ = ["job_of", "job_without_data", "rank_and_world"]


def rank_and_world() -> tuple[int, int]:
    """Return which of how many processes this is, from torch's variables; (0, 1) without them."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


def job_of(
    science: dict[str, Any],
    folder: RunFolder,
    device: str,
    check_current: Callable[[], None] = lambda: None,
    stopping: Callable[[], bool] = lambda: False,
    data_folder: Path | None = None,
) -> Job:
    """Return the job of a science configuration.

    Parameters
    ----------
    science: dict
        As in ``run.json``.
    folder: RunFolder
        Where the plugin works and records.
    device: str
        ``cpu`` or ``cuda``.
    check_current: callable
        Called before each record; may raise.
    stopping: callable
        Whether to save a checkpoint and stop.
    data_folder: Path, optional
        Where the data set is; by default the folder that its name stands for.
    """
    recipe = find_task(science["task"]).Recipe.model_validate(science["recipe"])
    rank, world = rank_and_world()
    given: dict[str, Any] = {}
    wanted = os.environ.get("STUDY_ITEMS") != "0"

    def items(arrays: Mapping[str, Any]) -> None:
        if wanted and rank == 0:
            given.clear()
            given.update(arrays)

    def record(split: str, **values: Any) -> None:
        if rank:
            return
        check_current()
        now = round(time.time(), 3)
        if split == "val" and given:
            # First, so that a run which is killed in between evaluates again.
            write_items(folder.path / FILE, given, now)
        given.clear()
        append_jsonl(folder.path / "metrics.jsonl", {"split": split, "time": now, **values})

    def recorded(split: str) -> list[dict[str, Any]]:
        return [line for line in folder.metrics if line["split"] == split]

    return Job(
        mechanism=Word.parse(science["mechanism"]),
        sites=tuple(science["sites"]),
        seed=science["seed"],
        recipe=recipe,
        data=data_folder or data.path(science["recipe"]["data"]),
        folder=folder.path,
        device=device,
        record=record,
        recorded=recorded,
        items=items,
        rank=rank,
        world=world,
        stopping=stopping,
    )


def job_without_data(
    science: dict[str, Any], folder: RunFolder, device: str
) -> tuple[Job, int | None]:
    """Return a job that needs no data set, and how many classes or words its model has.

    If the data set is prepared, or its module does not say the number, that is None and the job has
    the data set.
    """
    outputs = data.outputs(science["recipe"]["data"])
    nowhere = None if outputs is None else folder.path
    return job_of(science, folder, device, data_folder=nowhere), outputs
