"""What passes between the worker and a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plugins.attention.core.word import Word

if TYPE_CHECKING:
    import numpy as np

__all__ = ["CheckpointError", "Job", "Stopped"]


class CheckpointError(ValueError):
    """A file holds no weights for a run's model, for a reason that its user can mend."""


class Stopped(BaseException):
    """A run ends early, to be resumed. No `Exception`, so no framework takes it for an error."""


@dataclass(frozen=True)
class Job:
    """One run, as its task sees it.

    Attributes
    ----------
    mechanism: Word
        What attends.
    sites: tuple of str
        Where.
    seed: int
        Seed of everything random.
    recipe: BaseModel
        The task's ``Recipe``, complete.
    data: Path
        Folder of the prepared data set.
    folder: Path
        The run folder. The task writes ``train.log`` and ``checkpoints/`` there and nothing else.
        Training resumes from the last good checkpoint it finds.
    device: str
        ``cpu`` or ``cuda``.
    record: callable
        ``record("train", step=10, epoch=1, loss=2.3)`` appends a line to ``metrics.jsonl``; the
        splits are ``untrained`` (once, before the first step), ``train`` and ``val``. The last
        ``val`` record is the run's result.
    recorded: callable
        ``recorded("untrained")`` returns the records of a split that exist already.
    items: callable
        ``items(arrays)``, called before an evaluation is recorded, hands over what its metric is
        made of, for a task that is :class:`plugins.contracts.items.CountsItems`. What belongs to
        the last ``val`` record is kept with the run.
    rank, world: int
        The number of this process, from 0, and how many processes train the run together. They
        share the recipe's batch, so the result does not depend on how many there are. Only rank 0
        writes; `record` and `items` do nothing in the others.
    stopping: callable
        ``stopping()`` says whether the run has been told to end soon. A task asks between two
        steps; once it is true, it saves a checkpoint and raises `Stopped`.
    """

    mechanism: Word
    sites: tuple[str, ...]
    seed: int
    recipe: Any
    data: Path
    folder: Path
    device: str
    record: Callable[..., None]
    recorded: Callable[[str], list[dict[str, Any]]]
    items: Callable[[Mapping[str, np.ndarray[Any, Any]]], None] = lambda arrays: None
    rank: int = 0
    world: int = 1
    stopping: Callable[[], bool] = lambda: False
