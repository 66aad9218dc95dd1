"""Runs of a recipe that has changed: they stay where they are, and are no longer asked for."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from study.files import BrokenFile, read_json
from study.runs.run import Run, complete, differences

__all__ = ["changed_recipes"]

RECIPES_SHOWN = 3  # of one grid


def changed_recipes(runs: Sequence[Run], root: Path) -> list[str]:
    """Say what differs between runs not yet begun and those of the same label in `root`.

    A grid whose recipe was edited asks for new runs, since the recipe is part of a run's identity.
    One listing of `root`, and one file a run that the edit left behind.

    Returns
    -------
    list of str
        For each grid and each of its old recipes a line that counts its runs, above it a line
        ``key: old -> new`` for each difference. Empty if nothing has changed.
    """
    try:
        with os.scandir(root) as entries:
            there = {entry.name for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return []
    asked = {run.id for run in runs}
    by_label = defaultdict(list)
    for name in there - asked:
        by_label[name.rpartition("-")[0]].append(name)
    found: dict[str, Counter[tuple[str, ...]]] = defaultdict(Counter)
    for run in runs:
        if run.id in there:
            continue
        for name in by_label.get(run.label, ()):
            try:
                old = read_json(root / name / "run.json") or {}
            except BrokenFile:
                continue
            # Two grids that differ in their recipes are two questions, not a change.
            if old.get("grid") == run.grid:
                found[run.grid][
                    tuple(differences(complete(old.get("science", {})), complete(run.science)))
                ] += 1
    lines = []
    for grid, recipes in found.items():
        for changes, count in recipes.most_common(RECIPES_SHOWN):
            lines += [f"{grid}: {change}" for change in changes]
            lines.append(f"{grid}: {count} runs of the old recipe stay where they are")
    return lines
