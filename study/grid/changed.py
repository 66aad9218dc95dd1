"""Runs of a recipe, or of data, that have changed since: they stay where they are."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from study import data
from study.files import BrokenFile, read_json
from study.runs.contents import check_same_data, fingerprint, short
from study.runs.folder import RunFolder
from study.runs.run import Run, complete, differences

__all__ = ["changed_data", "changed_recipes"]

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


def changed_data(runs: Sequence[Run], root: Path) -> list[str]:
    """Say how many finished runs in `root` saw another content of their data set than there is now.

    A data set that was prepared anew keeps its name, so that a run's identity does not change.

    Returns
    -------
    list of str
        A line for each data set and each of its old contents.

    Raises
    ------
    StudyError
        If a run was begun on another content, and would be continued on this one.
    """
    found: Counter[tuple[str, str]] = Counter()
    for run in runs:
        folder = RunFolder(root / run.id)
        try:
            then = fingerprint(folder, run.data)
            if then is None or then == data.card(run.data)["fingerprint"]:
                continue
            if folder.result is not None:
                found[run.data, then] += 1
            elif (newest := folder.newest) is None or not newest.in_hand:
                check_same_data(folder, run.data)
        except BrokenFile:
            continue
    return [
        f"{name}: {count} finished runs saw another content of it ({short(then)}, now"
        f" {short(data.card(name)['fingerprint'])}), and are not trained again. Move their folders"
        " away to do so, or keep the new runs apart by --runs"
        for (name, then), count in found.items()
    ]
