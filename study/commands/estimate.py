"""What an estimate of the missing runs says, as JSON and in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from study.units import GIBIBYTE, duration, gibi

if TYPE_CHECKING:
    from study.launch.tariff import Tariff
    from study.status.estimate import Estimate, Probed

__all__ = ["figures", "sentences"]


def figures(told: Estimate) -> dict[str, Any]:
    """Return the numbers for JSON."""
    return {
        "measured": [
            {
                "grid": each.grid,
                "task": each.task,
                "missing": each.missing,
                "median_seconds": each.seconds,
                "of_runs": each.runs,
                "hours": round(each.hours, 3),
            }
            for each in told.measured
        ],
        "probed": [
            {
                "grid": each.grid,
                "missing": each.missing,
                "device": each.probe.device,
                "processes": each.probe.processes,
                "steps": each.steps,
                "steps_timed": each.probe.steps,
                "hours": None if each.steps is None else round(each.hours, 3),
                "device_hours": None if each.steps is None else round(each.device_hours, 3),
                "most_memory_gib": round(each.probe.memory / GIBIBYTE, 3),
            }
            for each in told.probed
        ],
        "misfits": [
            {"grid": grid, "label": probe.label, "device": probe.device}
            for grid, probe in told.misfits
        ],
        "unknown": told.unknown,
    }


def sentences(told: Estimate, tariff: Tariff | None = None) -> Iterator[str]:
    """Yield the same for people, with what GPU-hours cost."""
    for each in told.measured:
        one = f"{duration(each.seconds)} a run, measured, median of {each.runs}"
        yield f"{each.hours:,.1f} hours of training: {each.missing} x {one} ({each.task})"
    for group in told.probed:
        yield f"{_hours(group, tariff)}, {_how(group)} ({group.grid})"
    misfits = Counter((grid, probe.label, probe.where) for grid, probe in told.misfits)
    for (grid, label, where), runs in misfits.items():
        yield f"does not fit into {where}: {label}, {runs} runs ({grid})"
    for grid, runs in told.unknown.items():
        how = "" if grid in told.unprobeable else "; study probe tells"
        yield f"{runs} runs of {grid} of unknown length: none alike is finished or probed{how}"


def _hours(group: Probed, tariff: Tariff | None) -> str:
    if group.steps is None:
        return f"{group.missing} runs of unknown length, as the data set is not prepared"
    what = "process-hours" if group.probe.processes > 1 else "hours"
    cost = tariff.told(group.device_hours) if tariff else ""
    what = f"GPU-hours{cost}" if group.probe.on_gpu else what
    each = group.device_hours / group.missing
    return (
        f"{_number(group.device_hours)} {what} of training: {group.missing} runs of"
        f" {group.steps:,} steps, {_number(each)} a run"
    )


def _number(hours: float) -> str:
    return f"{hours:,.1f}" if hours >= 10 else f"{hours:.2f}"


def _how(group: Probed) -> str:
    probe = group.probe
    shared = f", the batch shared among {probe.processes}" if probe.processes > 1 else ""
    return (
        f"probed on {probe.where}, {_steps(probe.steps)} each{shared}, at most {gibi(probe.memory)}"
        " GiB; evaluation and reading data not included"
    )


def _steps(number: int) -> str:
    return f"{number} steps" if number > 1 else "1 step"
