"""How many images or tokens a second a training learns from, as it is and with each option.

Each training has a process of its own, with one thread, and they take turns: some steps of one,
then as many of the next. All see the same batches. Whatever else the machine does meets all alike.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from rich.box import SIMPLE_HEAD
from rich.table import Table

from plugins.contracts.tasks import find_task
from study.worker.child import Child

__all__ = ["AS_IS", "TASKS", "VARIANTS", "VERSIONS", "Measured", "measure", "settings", "tables"]

VERSIONS = ("torch", "onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "onedl-mmsegmentation",
            "ve-fairseq")  # fmt: skip
"""Distributions on whose versions the numbers depend."""

TASKS = {"detection": "images", "segmentation": "images", "translation": "tokens"}
"""What a training of each task is counted in."""

AS_IS, BEFORE, COMPILED = "as is", "before", "compile"
VARIANTS: dict[str, dict[str, Any]] = {
    AS_IS: {},
    BEFORE: {},  # freed memory is given back to the system after each step
    "channels_last": {"channels_last": True},
    "bfloat16": {"precision": "bfloat16"},
    COMPILED: {"compile": True},
}
"""What each changes in the recipe."""

ALONE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    # Models are compiled within the first step, and not taken from a cache.
    "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
    "TORCHINDUCTOR_COMPILE_THREADS": "1",
}
"""Variables of each training."""

STEPS, ROUNDS = 12, 8
LONG = 1000  # epochs: no training ends by itself

QUICK: dict[str, dict[str, Any]] = {
    "detection": {"image_scale": [64, 64], "rois": 8, "proposals": 20},
    "segmentation": {"crop": [32, 32]},
    "translation": {"tokens_per_batch": 200},
}


@dataclass
class Measured:
    """One variant of one task.

    Attributes
    ----------
    task, variant: str
        One of :data:`TASKS`, one of :data:`VARIANTS`.
    first: dict
        What the first turn took, a few steps in which a model is compiled.
    rounds: list of dict
        What each turn took: ``items``, and ``cpu`` and ``wall`` in seconds.
    """

    task: str
    variant: str
    first: dict[str, float]
    rounds: list[dict[str, float]] = field(default_factory=list)

    @property
    def speed(self) -> float:
        """Items a second of processor time, the median of the turns."""
        return statistics.median(taken["items"] / taken["cpu"] for taken in self.rounds)

    def ratios(self, other: Measured) -> list[float]:
        """How many times faster than `other` each turn was than the turn beside it."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return [theirs["cpu"] / ours["cpu"] for ours, theirs in pairs]

    def to_csv(self, other: Measured) -> Iterator[dict[str, Any]]:
        """Yield a row for each turn; `other` is what ratios compare with."""
        for number, (taken, ratio) in enumerate(
            zip(self.rounds, self.ratios(other), strict=True), 1
        ):
            yield {
                "task": self.task,
                "variant": self.variant,
                "turn": number,
                "items": taken["items"],
                "cpu_seconds": taken["cpu"],
                "wall_seconds": taken["wall"],
                "speedup": ratio,
                "warm_up_cpu_seconds": self.first["cpu"],
                "warm_up_wall_seconds": self.first["wall"],
            }


def settings(grids: Path, task: str, quick: bool) -> dict[str, Any]:
    """Return mechanism, sites and recipe of a task's training: those of ``grids/demo``."""
    told = yaml.safe_load((grids / "demo" / f"{task}.yaml").read_text(encoding="utf-8"))
    known = find_task(task)
    sites = told["product"].get("sites", known.default_sites)
    recipe = told["recipe"] | {"epochs": LONG} | (QUICK[task] if quick else {})
    # Evaluations between the steps are no part of the measurement.
    few = "evaluation_sentences" if task == "translation" else "evaluation_images"
    return {"mechanism": "1111", "sites": list(sites), "recipe": recipe | {few: 1}}


def variants(task: str) -> list[str]:
    """Return those that the task has."""
    fields = find_task(task).Recipe.model_fields
    return [name for name, changes in VARIANTS.items() if set(changes) <= set(fields)]


def measure(
    grids: Path,
    data: Callable[[str], Path],
    tasks: Sequence[str],
    quick: bool,
    progress: Callable[[str], None],
) -> list[Measured]:
    """Measure all variants of some tasks.

    Parameters
    ----------
    grids: Path
        The repository's grids.
    data: callable
        Returns the folder of a prepared data set.
    tasks: sequence of str
        Keys of :data:`TASKS`.
    quick: bool
        Small inputs, one turn of a step, and nothing compiled: the numbers mean nothing.
    progress: callable
        Called with what is about to be done.

    Raises
    ------
    StudyError
        If a training fails.
    """
    found: list[Measured] = []
    steps, rounds = (1, 1) if quick else (STEPS, ROUNDS)
    for task in tasks:
        request = settings(grids, task, quick) | {"task": task, "steps": steps}
        path = data(find_task(task).Recipe.model_validate(request["recipe"]).data)
        with ExitStack() as stack:
            trainings: dict[str, Child] = {}
            of_task: dict[str, Measured] = {}
            for name in variants(task):
                if quick and name == COMPILED:
                    continue  # minutes
                progress(f"{task}, {name}: warm-up")
                training = stack.enter_context(Child("study.benchmarks.steps:serve", ALONE))
                recipe = request["recipe"] | VARIANTS[name]
                own = {"data": str(path), "before": name == BEFORE, "recipe": recipe}
                training.tell(request | own)
                trainings[name], of_task[name] = training, Measured(task, name, training.hear())
            for number in range(1, rounds + 1):
                progress(f"{task}: turn {number} of {rounds}")
                for name, training in trainings.items():
                    training.tell("go on")
                    of_task[name].rounds.append(training.hear())
        found += of_task.values()
    return found


def tables(found: Sequence[Measured]) -> Iterator[Table]:
    """Yield a table a task."""
    for task in dict.fromkeys(each.task for each in found):
        own = {each.variant: each for each in found if each.task == task}
        table = Table(title=task, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1))
        table.add_column("")
        for column in (f"{TASKS[task]}\na second", "×", "least", "most", "warm-up\nseconds"):
            table.add_column(column, justify="right")
        for name, each in own.items():
            ratios = each.ratios(own[AS_IS])
            shown = (statistics.median(ratios), min(ratios), max(ratios))
            table.add_row(
                name,
                f"{each.speed:.4g}",
                *(f"{ratio:.2f}" for ratio in shown),
                f"{each.first['wall']:.1f}",
            )
        yield table
