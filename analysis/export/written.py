"""What every tracker is told of a run: its hyperparameters, curves and result, by flat names."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from study.errors import StudyError
from study.files import BOOKKEEPING
from study.runs.folder import RunFolder

__all__ = ["Point", "Told", "told"]


@dataclass(frozen=True)
class Point:
    """Numbers that a run recorded at one step.

    Attributes
    ----------
    step: int
        Updates of the optimizer so far.
    time: float
        Seconds since the epoch.
    values: dict of str to float
        By ``train/loss``, ``val/mAP`` and the like; finite ones.
    """

    step: int
    time: float
    values: dict[str, float]


@dataclass(frozen=True)
class Told:
    """A run, as trackers know runs.

    Attributes
    ----------
    id, label, grid, state: str
        As ``study status`` says them.
    config: dict of str to (str, int, float, bool or None)
        The science configuration, nested keys joined by dots.
    points: list of Point
        In the order in which they were recorded.
    result: dict of str to float
        Metrics, MACs, parameters and seconds of a finished run.
    """

    id: str
    label: str
    grid: str
    state: str
    config: dict[str, Any]
    points: list[Point]
    result: dict[str, float]


def told(folder: RunFolder, state: str) -> Told:
    """Read a run.

    Raises
    ------
    StudyError
        If it has no ``run.json``, or a file that cannot be read.
    """
    run, result = folder.run, folder.result
    if run is None:
        raise StudyError(f"{folder.path}: no run.json")
    points = [
        Point(int(line.get("step", 0)), float(line.get("time", 0.0)), values)
        for line in folder.metrics
        if (values := dict(_values(line)))
    ]
    return Told(
        *(run["id"], run["label"], run["grid"], state),
        config=dict(_flat(run["science"])),
        points=points,
        result=dict(_of_result(result)) if result else {},
    )


def _values(line: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in line.items():
        if name not in BOOKKEEPING and _finite(value):
            yield f"{line['split']}/{name}", float(value)


def _of_result(result: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, value in result["metrics"].items():
        if _finite(value):
            yield f"result/{name}", float(value)
    for whose in ("model", "mechanism"):
        for kind in ("macs", "parameters"):
            yield f"cost/{whose}_{kind}", float(result["cost"][whose][kind])
    yield "cost/seconds", float(result["seconds"])


def _finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _flat(nested: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in nested.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple | dict):
            yield f"{prefix}{key}", ", ".join(map(str, value))
        else:
            yield f"{prefix}{key}", value
