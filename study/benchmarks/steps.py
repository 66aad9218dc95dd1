"""One training of the benchmark, in a process of its own.

It stops after every so many steps, says what they took, and waits until it is told to go on. So
several trainings can take turns.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.contracts.tasks import find_task
from plugins.training import allocator
from study.worker.parent import Parent

__all__ = ["Turns", "serve"]

WARM_UP = 4
"""Steps of the first turn, in which memory is allocated and the model compiled."""


class Turns:
    """Counts steps, and pauses after some.

    A step's time is that from the end of the step before: its data are loaded in it. Steps that
    begin an epoch are left out, since evaluation and a checkpoint come before them.

    Parameters
    ----------
    steps: int
        To be counted before each pause.
    tell: callable
        Called with what they took; returns when the next turn begins.
    """

    def __init__(self, steps: int, tell: Callable[[dict[str, float]], None]) -> None:
        self.steps, self.tell = steps, tell
        self.epoch: Any = None
        self.warm = False
        self._begin()

    def _begin(self) -> None:
        self.counted, self.items, self.cpu, self.wall = 0, 0.0, 0.0, 0.0
        self.last = time.process_time(), time.perf_counter()

    def after(self, epoch: Any, items: float) -> None:
        """Count a step of `epoch` that has learnt from so many images or tokens."""
        now = time.process_time(), time.perf_counter()
        if epoch == self.epoch or not self.warm:
            self.counted += 1
            self.items += items
            self.cpu += now[0] - self.last[0]
            self.wall += now[1] - self.last[1]
        self.epoch, self.last = epoch, now
        if self.counted == (self.steps if self.warm else WARM_UP):
            self.warm = True
            self.tell({"items": self.items, "cpu": self.cpu, "wall": self.wall})
            self._begin()


def _watch(task: str, turns: Turns) -> Any:
    """Return a patch by which the training reports its steps."""
    if task == "translation":
        from plugins.translation.trainer import RecordingTrainer

        update = RecordingTrainer.train_step

        def train_step(self: Any, samples: list[dict[str, Any]], raise_oom: bool = True) -> Any:
            logged = update(self, samples, raise_oom)
            turns.after(self.epoch, sum(sample["ntokens"] for sample in samples))
            return logged

        return mock.patch.object(RecordingTrainer, "train_step", train_step)
    from plugins.openmmlab.resuming import StoppableLoop

    iteration = StoppableLoop.run_iter

    def run_iter(self: Any, idx: int, data_batch: Any) -> None:
        iteration(self, idx, data_batch)
        turns.after(self.epoch, len(data_batch["inputs"]))

    return mock.patch.object(StoppableLoop, "run_iter", run_iter)


def _train(request: dict[str, Any], turns: Turns, folder: Path) -> None:
    task = request["task"]
    # As if the untrained model had been evaluated: only steps are to be timed.
    recorded: list[dict[str, Any]] = [{"split": "untrained", "step": 0}]
    job = Job(
        mechanism=Word.parse(request["mechanism"]),
        sites=tuple(request["sites"]),
        seed=0,
        recipe=find_task(task).Recipe.model_validate(request["recipe"]),
        data=Path(request["data"]),
        folder=folder,
        device="cpu",
        record=lambda split, **values: None,
        recorded=lambda split: recorded if split == "untrained" else [],
    )
    find_task(task).train(job)


def serve(parent: Parent) -> None:
    """Train as the parent asks, until it hangs up."""
    request = parent.hear()
    torch.set_num_threads(1)
    if request["before"]:
        mock.patch.object(allocator, "keep_freed_memory", return_value=False).start()

    def pause(taken: dict[str, float]) -> None:
        parent.tell(taken)
        parent.hear()

    turns = Turns(request["steps"], pause)
    with tempfile.TemporaryDirectory() as folder, _watch(request["task"], turns):
        os.chdir(folder)
        _train(request, turns, Path(folder))
    raise RuntimeError("the training ended before its time")
