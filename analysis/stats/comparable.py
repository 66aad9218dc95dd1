"""Which runs may be compared: those of one task, data set and recipe, in what has finished.

A recipe of another version of its code is another recipe. Tables, figures, effects, verdicts and
the report all group by this module, so that none averages what another keeps apart.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import pandas as pd

from study.errors import StudyError

__all__ = ["Recipe", "by_recipe", "finished", "mixed", "places", "stuck", "stuck_note", "title"]

KEYS = ["task", "data", "version", "recipe"]


class Recipe(NamedTuple):
    """The runs of one recipe, whatever their state, in the order of the frame.

    ``variant`` tells it from the other recipes of the same task and data: the entries that differ,
    such as ``epochs=8``; empty if there is nothing to tell apart.
    """

    task: str
    data: str
    variant: str
    runs: pd.DataFrame


def by_recipe(frame: pd.DataFrame) -> list[Recipe]:
    """Split a frame of `analysis.runs.collect` by recipe, in order of appearance."""
    groups = list(frame.groupby(KEYS, sort=False, dropna=False))
    recipes = [{"version": key[2]} | json.loads(key[3]) for key, _ in groups]
    found = []
    for (key, runs), recipe in zip(groups, recipes, strict=True):
        rivals = [r for (k, _), r in zip(groups, recipes, strict=True) if k[:2] == key[:2]]
        found.append(Recipe(str(key[0]), str(key[1]), _variant(recipe, rivals), runs))
    return found


def places(runs: pd.DataFrame) -> list[str]:
    """Return the sites at which runs of one recipe are compared.

    A run without sites, in which nothing stands anywhere, is compared at all of them; where all
    runs are so, the one place is ``""``.
    """
    return sorted({*runs["sites"]} - {""}) or [""]


def finished(runs: pd.DataFrame, where: str) -> tuple[pd.DataFrame, str]:
    """Return the completed runs, and the name of their metric, empty if there are none.

    Raises
    ------
    StudyError
        If two runs fill the same cell, or they name different metrics; `where` begins the sentence.
    """
    done = runs[(runs["state"] == "completed") & runs["value"].notna()]
    twice = done[done.duplicated(["mechanism", "seed"], keep=False)]
    if len(twice):
        raise StudyError(f"two runs of one cell: {', '.join(twice['id'])}; remove one of them")
    metrics = list(done["metric"].unique())
    if len(metrics) > 1:
        raise StudyError(f"{where}: runs with different metrics: {', '.join(metrics)}")
    return done, str(metrics[0]) if metrics else ""


def stuck(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the completed runs whose metric did not rise above that of the untrained network."""
    return runs[runs["value"] <= runs["untrained"]]


def stuck_note(runs: pd.DataFrame) -> list[str]:
    """Name the runs that are `stuck`, in one sentence; none if no run is."""
    named = [
        f"{run.mechanism} seed {run.seed} ({run.value:.4g}, untrained {run.untrained:.4g})"
        for run in stuck(runs).itertuples()
    ]
    return [f"not above the metric of the untrained network: {', '.join(named)}"] if named else []


def mixed(runs: pd.DataFrame) -> list[str]:
    """Say which mechanisms had which data card and commit, where mechanisms differ in them.

    Parameters
    ----------
    runs: pandas.DataFrame
        Of one group, which should differ in mechanism and seed alone.
    """
    notes = []
    for column, what in (("data_card", "data"), ("commit", "commits of the code")):
        known = runs[column].fillna("unknown") if column in runs else pd.Series(dtype=str)
        if known.groupby(runs["mechanism"]).agg(frozenset).nunique() > 1:
            users = runs["mechanism"].groupby(known).unique()
            each = (f"{value}: {', '.join(sorted(words))}" for value, words in users.items())
            notes.append(
                f"DIFFERENT {what} by mechanism, so that a difference may be due to that: "
                f"{'; '.join(each)}"
            )
    return notes


def title(*parts: str) -> str:
    """Return what tells runs from others (task, data, sites, variant) on one line."""
    return " · ".join(filter(None, parts))


def _variant(recipe: dict[str, Any], rivals: list[dict[str, Any]]) -> str:
    keys = sorted({key for rival in rivals for key in rival})
    differ = [key for key in keys if any(r.get(key) != recipe.get(key) for r in rivals)]
    return ", ".join(f"{key}={recipe.get(key)}" for key in differ)
