"""How long the missing runs of a plan will take, as far as finished ones tell."""

from __future__ import annotations

import os
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from study.runs.folder import RunFolder
from study.status.states import DONE, States

if TYPE_CHECKING:
    from study.runs.run import Run

__all__ = ["Estimate", "estimates"]

SAMPLE = 200  # finished runs outside the plan that are read at most


@dataclass(frozen=True)
class Estimate:
    """What the missing runs of one task will take, one after the other.

    Attributes
    ----------
    task: str
        Name of the task.
    missing: int
        Runs still to be trained.
    seconds: float
        Median of the finished runs, over all their attempts.
    runs: int
        How many finished runs that is the median of.
    """

    task: str
    missing: int
    seconds: float
    runs: int

    @property
    def hours(self) -> float:
        """Training time of all the missing runs."""
        return self.missing * self.seconds / 3600


def estimates(missing: Sequence[Run], found: States, root: Path) -> list[Estimate]:
    """Return an estimate for each task that has missing runs and finished ones.

    Finished runs of the plan itself count, others in `root` only where the plan has none.
    """
    wanted = Counter(run.task for run in missing)
    took: dict[str, list[float]] = defaultdict(list)
    for name, state in found.of.items():
        if state == DONE and found.asked[name].task in wanted:
            took[found.asked[name].task] += _seconds(found.seen[name])
    for task in wanted:
        if not took[task]:
            took[task] = [s for folder in _others(task, root) for s in _seconds(folder)]
    return [
        Estimate(task, count, statistics.median(took[task]), len(took[task]))
        for task, count in wanted.items()
        if took[task]
    ]


def _seconds(folder: RunFolder) -> list[float]:
    result = folder.result
    return [float(result["seconds"])] if result else []


def _others(task: str, root: Path) -> list[RunFolder]:
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(f"{task}-")]
    except FileNotFoundError:
        return []
    found: list[RunFolder] = []
    for name in sorted(names):
        if (root / name / "result.json").exists():
            found.append(RunFolder(root / name))
        if len(found) == SAMPLE:
            break
    return found
