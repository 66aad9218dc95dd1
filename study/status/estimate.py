"""How long the missing runs of a plan will take, as far as finished runs and probes tell."""

from __future__ import annotations

import json
import os
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugins.contracts.task import Probes as CanProbe
from plugins.contracts.tasks import find_task
from study import data
from study.files import BrokenFile
from study.runs.folder import RunFolder
from study.runs.probe import FAILED, MISFIT, Probe, Probes
from study.runs.run import Run
from study.status.states import DONE, States

__all__ = ["Estimate", "Measured", "Probed", "by_probes", "estimate", "recipe_of"]

SAMPLE = 200  # finished runs outside the plan that are read at most


@dataclass(frozen=True)
class Measured:
    """Missing runs of a recipe of which others are finished.

    Attributes
    ----------
    grid, task: str
        Of the missing runs.
    missing: int
        How many.
    seconds: float
        Median of the finished runs, over all their attempts.
    runs: int
        How many finished runs that is the median of.
    """

    grid: str
    task: str
    missing: int
    seconds: float
    runs: int

    @property
    def hours(self) -> float:
        """Time of all the missing runs, one after the other."""
        return self.missing * self.seconds / 3600


@dataclass
class Probed:
    """Missing runs of a grid that were probed on the same device, in the same way.

    Attributes
    ----------
    grid: str
        Of the missing runs.
    probe: Probe
        The one that takes the most memory.
    steps: int, optional
        Of a whole training; None if the data set's size is not known.
    missing: int
        How many runs.
    hours: float
        Of all of them, one after the other.
    """

    grid: str
    probe: Probe
    steps: int | None
    missing: int = 0
    hours: float = 0.0

    def add(self, probe: Probe) -> None:
        """Count one more run."""
        self.missing += 1
        self.probe = max(self.probe, probe, key=lambda each: each.memory)
        self.hours += (self.steps or 0) * probe.milliseconds / 3.6e6

    @property
    def device_hours(self) -> float:
        """Time of all the processes of the missing runs."""
        return self.hours * self.probe.processes


@dataclass
class Estimate:
    """What is known of the missing runs.

    Attributes
    ----------
    measured: list of Measured
        By recipe.
    probed: list of Probed
        By grid and device.
    misfits: list of (str, Probe)
        Grid and probe of each configuration that did not fit.
    unknown: dict of str to int
        How many runs of each grid nothing is known of.
    unprobeable: set of str
        Grids of tasks that cannot be probed.
    """

    measured: list[Measured] = field(default_factory=list)
    probed: list[Probed] = field(default_factory=list)
    misfits: list[tuple[str, Probe]] = field(default_factory=list)
    unknown: dict[str, int] = field(default_factory=dict)
    unprobeable: set[str] = field(default_factory=set)


def estimate(
    missing: Sequence[Run],
    found: States,
    root: Path,
    probes: Probes,
    cluster: str | None = None,
    processes: int | None = None,
) -> Estimate:
    """Judge missing runs by what is nearest to them.

    That are finished runs of the same configuration, if there are none its probe, and if it has
    none finished runs of the same recipe. Those of the plan itself count, others in `root` only
    where the plan has none.

    Parameters
    ----------
    missing: sequence of Run
        Those to be judged.
    found: States
        Of all runs of the plan.
    root: Path
        Folder of runs.
    probes: Probes
        What was probed.
    cluster, processes
        What the runs would be given, as of `Probes.best`.
    """
    took = {recipe: _finished(recipe, found, root) for recipe in map(_recipe, missing)}
    by_recipe: dict[str, list[Run]] = defaultdict(list)
    others: list[Run] = []
    best: dict[str, Probe] = {}
    for run in missing:
        finished = took[_recipe(run)]
        probe = probes.best(run, cluster, processes)
        if run.configuration in {name for name, _ in finished} or (finished and probe is None):
            by_recipe[_recipe(run)].append(run)
            continue
        others.append(run)
        if probe is not None:
            best[run.configuration] = probe
    told = by_probes(others, best)
    for recipe, runs in by_recipe.items():
        seconds = [each for _, each in took[recipe]]
        first, median = runs[0], statistics.median(seconds)
        told.measured.append(Measured(first.grid, first.task, len(runs), median, len(seconds)))
    return told


def by_probes(missing: Sequence[Run], best: Mapping[str, Probe]) -> Estimate:
    """Judge missing runs by probes alone, given by configuration."""
    told = Estimate()
    groups: dict[tuple[Any, ...], Probed] = {}
    for run in missing:
        probe = best.get(run.configuration)
        if probe is None or probe.outcome == FAILED:
            told.unknown[run.grid] = told.unknown.get(run.grid, 0) + 1
            if not isinstance(find_task(run.task), CanProbe):
                told.unprobeable.add(run.grid)
        elif probe.outcome == MISFIT:
            told.misfits.append((run.grid, probe))
        else:
            key = (run.grid, probe.where, probe.processes, probe.steps)
            if key not in groups:
                groups[key] = Probed(run.grid, probe, training_steps(run))
            groups[key].add(probe)
    told.probed = list(groups.values())
    return told


def training_steps(run: Run) -> int | None:
    """Return the steps of a whole training, None if that is not known."""
    task, name = find_task(run.task), run.data
    if not isinstance(task, CanProbe):
        return None
    recipe = task.Recipe.model_validate(run.science["recipe"])
    there = data.path(name) if data.is_prepared(name) else None
    return task.training_steps(recipe, data.training_items(name), there)


def _recipe(run: Run) -> str:
    return recipe_of(run.science)


def recipe_of(science: dict[str, Any]) -> str:
    """Return what runs must have in common to be compared in time, as text."""
    parts = [science.get(key) for key in ("task", "version", "recipe")]
    return json.dumps(parts, sort_keys=True)


def _finished(recipe: str, found: States, root: Path) -> list[tuple[str, float]]:
    """Return configuration and seconds of finished runs of a recipe."""
    ours = [
        (found.asked[name].configuration, seconds)
        for name, state in found.of.items()
        if state == DONE and _recipe(found.asked[name]) == recipe
        for seconds in _seconds(found.seen[name])
    ]
    return ours or list(_others(recipe, root))


def _seconds(folder: RunFolder) -> list[float]:
    result = folder.result
    return [float(result["seconds"])] if result else []


def _others(recipe: str, root: Path) -> Iterator[tuple[str, float]]:
    task, _, fields = json.loads(recipe)
    beginning = f"{task}-{fields['data']}-"
    try:
        with os.scandir(root) as entries:
            names = [entry.name for entry in entries if entry.name.startswith(beginning)]
    except (FileNotFoundError, NotADirectoryError):
        return
    left = SAMPLE
    for name in sorted(names):
        folder = RunFolder(root / name)
        if left == 0:
            return
        if not (folder.path / "result.json").exists():
            continue
        left -= 1
        try:
            record = folder.run
        except BrokenFile:
            continue
        if record is not None and recipe_of(record["science"]) == recipe:
            configuration = Run(record["grid"], record["science"]).configuration
            for seconds in _seconds(folder):
                yield configuration, seconds
