"""Whole steps of training: milliseconds, images or tokens a second, peak memory."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from study.benchmarks.deadline import Deadline
from study.benchmarks.numbers import number
from study.benchmarks.step.trainings import GRIDS, OUTPUTS, TASKS, UNITS, Training, groups
from study.benchmarks.training import QUICK
from study.grid.reading import load
from study.worker.child import Child

__all__ = ["TASKS", "VERSIONS", "Row", "groups", "measure", "reasons", "tables"]

VERSIONS = ("torch", "onedl-mmcv", "onedl-mmengine", "onedl-mmdetection", "onedl-mmsegmentation",
            "ve-fairseq")  # fmt: skip
"""Distributions on whose versions the numbers depend."""

ROUNDS, SECONDS, WARM_UP = 8, 2.0, 3
MS, GIB = 1000.0, 2**30


@dataclass(frozen=True)
class Row:
    """A training, and its baseline in the same turns.

    Attributes
    ----------
    training: Training
        What was measured.
    found, baseline: mapping
        ``text``, ``items`` of a step, ``peak`` in bytes, ``seconds`` of each round; or ``failure``.
    """

    training: Training
    found: Mapping[str, Any]
    baseline: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The training."""
        return f"{self.training.name}, {self.training.side}"

    @property
    def milliseconds(self) -> float | None:
        """The median of the rounds; None if the training failed."""
        return _median(self.found)

    @property
    def over_baseline(self) -> float | None:
        """How many times the baseline's step this one takes."""
        own, other = self.milliseconds, _median(self.baseline)
        return None if own is None or other is None else own / other

    @property
    def rate(self) -> float | None:
        """Images or tokens a second."""
        taken = self.milliseconds
        return None if taken is None else MS * self.found["items"] / taken

    def to_csv(self) -> dict[str, Any]:
        """Return the columns, unrounded; those of a training that failed are empty."""
        training, found = self.training, self.found
        taken = found.get("seconds")
        return {
            "training_step": found.get("text", training.task),
            "mechanism": training.mechanism,
            "side": training.side,
            "precision": training.precision,
            "milliseconds": self.milliseconds,
            "least_milliseconds": taken and MS * min(taken),
            "most_milliseconds": taken and MS * max(taken),
            "rounds": taken and len(taken),
            "baseline_milliseconds": _median(self.baseline),
            "unit": UNITS[training.task],
            "items": found.get("items"),
            "items_per_second": self.rate,
            "peak_gib": ("peak" in found and found["peak"] / GIB) or None,
            "failure": found["failure"],
        }


def measure(
    chosen: Sequence[Sequence[Training]],
    device: str,
    grids: Path,
    share: int,
    rounds: int | None,
    quick: bool,
    limit: float | None,
    begin: Callable[[str, int], None],
) -> Iterator[list[Row]]:
    """Measure one group after the other; yield the rows of each, the baseline's but once.

    Parameters
    ----------
    chosen: sequence of sequence of Training
        As :func:`groups` returns them.
    device: str
        ``cpu`` or ``cuda``.
    grids: Path
        Folder of the grids whose recipes are trained.
    share: int
        Among how many GPUs the recipe's batch is shared; one makes its part.
    rounds: int, optional
        Rounds at least; default 8.
    quick: bool
        At toy width, one round by default.
    limit: float, optional
        Seconds after which to stop, in the middle of a group if need be.
    begin: callable
        Called with the device's name and the number of groups before the first is measured.

    Raises
    ------
    StudyError
        If there is no such device or grid, or the measuring process fails.
    """
    deadline = Deadline(limit)
    request = {
        "device": device,
        "groups": [[training.to_json() for training in group] for group in chosen],
        "recipes": {task: _recipe(grids, task, quick) for task in {g[0].task for g in chosen}},
        "outputs": OUTPUTS | ({"translation": 1000} if quick else {}),
        "share": 1 if quick else share,
        "warm_up": 1 if quick else WARM_UP,
        "rounds": rounds or (1 if quick else ROUNDS),
        "seconds": 0.0 if quick else SECONDS,
    }
    told: set[Training] = set()
    with Child("study.benchmarks.step.worker:serve") as child:
        child.tell(request)
        try:
            begin(child.hear(deadline.left), len(chosen))
            for group in chosen:
                found = child.hear(deadline.left)
                rows = [Row(*pair, found[0]) for pair in zip(group, found, strict=True)]
                yield [row for row in rows if row.training not in told]
                told |= set(group)
        except TimeoutError:
            return  # the time is up; the process ends with the `with`


def _recipe(grids: Path, task: str, quick: bool) -> dict[str, Any]:
    grid = load(grids / GRIDS[task])
    return grid.smoke().recipe | QUICK[task] if quick else grid.recipe


def _median(found: Mapping[str, Any]) -> float | None:
    return MS * statistics.median(found["seconds"]) if "seconds" in found else None


def tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Yield a table for each task and precision."""
    for task, precision in dict.fromkeys((r.training.task, r.training.precision) for r in rows):
        own = [r for r in rows if (r.training.task, r.training.precision) == (task, precision)]
        table = Table(title=f"{task} · {precision}", title_justify="left", box=SIMPLE_HEAD)
        for column in ("", ""):
            table.add_column(column, no_wrap=True)
        for column in ("ms\na step", "least", "most", "× the\nbaseline", f"{UNITS[task]}\na second",
                       "peak\nGiB"):  # fmt: skip
            table.add_column(column, justify="right")
        for row in own:
            table.add_row(row.training.mechanism, row.training.side, *_cells(row))
        yield table


def reasons(rows: Sequence[Row]) -> list[str]:
    """Return why trainings failed."""
    return [f"{row.name}: {row.found['failure']}" for row in rows if row.found["failure"]]


def _cells(row: Row) -> list[str]:
    if row.milliseconds is None or row.rate is None:
        return ["fails"]
    taken = row.found["seconds"]
    over = "" if row.over_baseline is None else number(row.over_baseline)
    return [
        *(number(value) for value in (row.milliseconds, MS * min(taken), MS * max(taken))),
        over,
        number(row.rate),
        number(row.found["peak"] / GIB),
    ]
