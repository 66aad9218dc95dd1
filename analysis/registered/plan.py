"""What is registered of a grid: its runs, what is claimed of them, and what makes no difference."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.stats.claimfile import Claim
from plugins.contracts.tasks import find_task
from study.grid.grid import Grid
from study.runs.run import complete, differences

__all__ = ["RECIPE", "Plan", "changes", "plan"]

Plan = dict[str, Any]
"""As JSON has it: ``grid``, ``margins`` by metric, ``claims`` by id."""

JUDGED_BY = ("recipe", "tests", "floor", "expects_chance")
"""Entries of a claim by which it is judged."""

RECIPE = ("task", "version", "versions", "recipe")
"""Entries of ``grid`` that say how its runs are trained."""


def plan(grid: Grid, claims: Sequence[Claim]) -> Plan:
    """Return what there is to register of a grid.

    Parameters
    ----------
    grid: Grid
        Its comments, and the order of what it lists, make no difference to `changes`.
    claims: sequence of Claim
        From `analysis.stats.claims.load`; those about other tasks or sites are left out.

    Returns
    -------
    dict
        ``grid`` has name, task, versions of the task's and of the mechanisms' code, seeds,
        baseline, recipe (what of it is in the ids of runs), the mechanisms at each choice of sites,
        the number of runs, and ``digest``, the SHA-256 of their sorted ids. ``margins`` are those
        of the task's metrics. Of each claim there are its statement and what it is judged by,
        without defaults.
    """
    task, runs = find_task(grid.task), grid.runs()
    cells: dict[str, list[str]] = {}
    for mechanism, sites in grid.cells():
        cells.setdefault(".".join(sites), []).append(mechanism)
    ids = sorted(run.id for run in runs)
    versions: dict[str, int] = {}
    for run in runs:
        versions |= run.science.get("mechanisms", {})
    metrics = {metric.name for metric in task.metrics}
    agreed = next((claim.margins for claim in claims), {})
    # Mechanisms that stand nowhere are compared at all sites of the others.
    places = [sites for sites in cells if sites] or [""]
    return {
        "grid": {
            "name": grid.name,
            "task": grid.task,
            "version": task.version,
            "versions": dict(sorted(versions.items())),
            "seeds": sorted(grid.seeds),
            "baseline": grid.baseline,
            "recipe": task.Recipe.model_validate(grid.recipe).model_dump(mode="json"),
            "cells": cells,
            "runs": len(ids),
            "digest": hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        },
        "margins": {name: value for name, value in sorted(agreed.items()) if name in metrics},
        "claims": {
            claim.id: claim.model_dump(
                mode="json",
                include={"statement", *JUDGED_BY},
                exclude_defaults=True,
            )
            for claim in claims
            if any(claim.applies(grid.task, sites, grid.recipe) for sites in places)
        },
    }


def changes(old: Plan, new: Plan) -> list[str]:
    """Say in words how two plans differ, such as ``margin of BLEU 0.5 -> 1``; empty if they agree.

    Parameters
    ----------
    old, new: dict
        From `plan`; `old` perhaps from a file.
    """
    before, after = old["grid"], new["grid"]
    said = [
        f"{key} {before[key]} -> {after[key]}"
        for key in ("name", "task", "baseline")
        if before[key] != after[key]
    ]
    if before["version"] != after["version"]:
        said.append(f"version of the task's code {before['version']} -> {after['version']}")
    versions = before["versions"], after["versions"]
    for name in sorted({*versions[0], *versions[1]}):
        then, now = (each.get(name, 1) for each in versions)
        if then != now:
            said.append(f"version of {name} {then} -> {now}")
    said += _seeds(before["seeds"], after["seeds"])
    said += [f"recipe: {line}" for line in differences(_recipe(before), _recipe(after))]
    for sites in dict.fromkeys([*before["cells"], *after["cells"]]):
        words = _listed(before["cells"].get(sites, ()), after["cells"].get(sites, ()))
        said += [f"mechanisms{f' at {sites}' if sites else ''}: {words}"] if words else []
    if not said and before["digest"] != after["digest"]:
        said.append("ids of its runs")
    margins = old["margins"], new["margins"]
    for metric in sorted({*margins[0], *margins[1]}):
        shown = [f"{each[metric]:g}" if metric in each else "none" for each in margins]
        if shown[0] != shown[1]:
            said.append(f"margin of {metric} {shown[0]} -> {shown[1]}")
    return said + _claims(old["claims"], new["claims"])


def _seeds(old: Sequence[int], new: Sequence[int]) -> list[str]:
    if old == new:
        return []
    if len(old) != len(new):
        return [f"seeds {len(old)} -> {len(new)}"]
    return [f"seeds {', '.join(map(str, old))} -> {', '.join(map(str, new))}"]


def _recipe(grid: Mapping[str, Any]) -> dict[str, Any]:
    return complete({"task": grid["task"], "recipe": grid["recipe"]})["recipe"]


def _listed(old: Sequence[str], new: Sequence[str]) -> str:
    """Name the words that are new, and those that are gone."""
    kinds = (("new", new, old), ("gone", old, new))
    named = [
        f"{', '.join(words)} {kind}"
        for kind, here, there in kinds
        if (words := [word for word in here if word not in there])
    ]
    return "; ".join(named)


def _claims(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    said = []
    for name, claim in old.items():
        now = new.get(name, claim)
        if any(now.get(key) != claim.get(key) for key in JUDGED_BY):
            said.append(f"{name} tested otherwise")
        elif now != claim:
            said.append(f"{name} reworded")
    if words := _listed([*old], [*new]):
        said.append(words)
    return [f"claims: {', '.join(said)}"] if said else []
