"""Which runs may be compared: those of one task and data set whose recipes agree.

Recipes agree if all entries do that both runs use. The version of the task's code is an entry too,
and so is the version of each mechanism that is not the first. A run does not use the recipe's
entries that its mechanism ignores, as `none` ignores the number of heads, nor the versions of
mechanisms that are not in its word: it is compared with runs of every value of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

__all__ = ["Recipe", "by_recipe", "names"]

COLUMNS = ["version", "recipe", "unused", "mechanism_versions"]


@dataclass(frozen=True)
class Recipe:
    """The entries that comparable runs agree in.

    Attributes
    ----------
    entries: mapping of str to object
        Of the recipe, the task's ``version`` and ``version of <mechanism>``. One that is absent has
        its default.
    unused: frozenset of str
        Entries that may have any value.
    """

    entries: Mapping[str, Any]
    unused: frozenset[str] = frozenset()

    def agrees(self, other: Recipe) -> bool:
        """Whether the entries are equal that both use."""
        used = (self.entries.keys() | other.entries.keys()) - self.unused - other.unused
        return all(self.entries.get(key) == other.entries.get(key) for key in used)

    def joined(self, other: Recipe) -> Recipe:
        """Return what runs of either have in common with those of the other, which agrees."""
        return Recipe({**self.entries, **other.entries}, self.unused & other.unused)

    def variant(self, rivals: list[Recipe]) -> str:
        """Name the entries in which it differs from others, such as ``epochs=8``."""
        differ = {
            key
            for rival in rivals
            for key in self.entries.keys() | rival.entries.keys()
            if key not in self.unused | rival.unused
            and self.entries.get(key) != rival.entries.get(key)
        }
        return ", ".join(f"{key}={self.entries.get(key)}" for key in sorted(differ))


def by_recipe(frame: pd.DataFrame) -> Iterator[tuple[str, str, str, Recipe, pd.DataFrame]]:
    """Split a frame of `analysis.runs.collect`, in order of appearance.

    Yields
    ------
    tuple of str, str, str, Recipe, pandas.DataFrame
        Task, data set, what tells the recipe from the others of these two, the recipe, and its
        runs of any state in the order of the frame. A run that agrees with several recipes is
        among the runs of each.
    """
    frame = frame.reset_index(drop=True)
    for (task, data), runs in frame.groupby(["task", "data"], sort=False):
        kinds = _kinds(runs)
        recipes = _whole([recipe for recipe, _ in kinds])
        for recipe in recipes:
            places = [place for kind, own in kinds if kind.agrees(recipe) for place in own]
            chosen = runs.loc[runs.index.isin(places)]
            yield str(task), str(data), recipe.variant(recipes), recipe, chosen


def names(word: str) -> list[str]:
    """Return the names of the mechanisms in a word, without options and ranges."""
    return [part.partition("@")[0].partition(":")[0] for part in word.split("+")]


def _kinds(runs: pd.DataFrame) -> list[tuple[Recipe, list[Any]]]:
    """Return each recipe once, with the index of its runs."""
    versions = {text: _versions(text) for text in runs["mechanism_versions"].dropna().unique()}
    renewed = sorted({name for found in versions.values() for name in found})
    kinds: list[tuple[Recipe, list[Any]]] = []
    keys = [*COLUMNS, "mechanism"] if renewed else COLUMNS
    for key, own in runs.groupby(keys, sort=False, dropna=False):
        version, recipe, unused, text = key[:4]
        entries = {"version": version} | json.loads(recipe)
        free = set(unused.split(", ")) if isinstance(unused, str) else set()
        for name in renewed:
            if name in names(key[4]):
                entries[f"version of {name}"] = versions.get(text, {}).get(name, 1)
            else:
                free.add(f"version of {name}")
        found = Recipe(entries, frozenset(free))
        for kind, places in kinds:
            if kind == found:
                places.extend(own.index)
                break
        else:
            kinds.append((found, [*own.index]))
    return kinds


def _whole(kinds: list[Recipe]) -> list[Recipe]:
    """Return the recipes that comparisons are within, each with all entries that its runs use."""
    recipes = [*kinds]
    for one in recipes:  # which grows meanwhile
        for other in kinds:
            if one.agrees(other) and (both := one.joined(other)) not in recipes:
                recipes.append(both)
    return [
        one
        for one in recipes
        if not any(other.unused < one.unused and other.agrees(one) for other in recipes)
    ]


def _versions(text: str) -> dict[str, int]:
    pairs = (entry.partition("=") for entry in text.split("; "))
    return {name: int(number) for name, _, number in pairs}
