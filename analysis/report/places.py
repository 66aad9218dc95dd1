"""Which runs can be compared: those of one data set, recipe and choice of sites."""

from __future__ import annotations

from typing import Any

import pandas as pd

from analysis.figures.style import color, marker
from analysis.stats import comparable
from analysis.stats.comparable import by_recipe

__all__ = ["grouped", "places", "styles"]


def grouped(frame: pd.DataFrame) -> list[int]:
    """Return for each run the number of its recipe; runs of different recipes never compare."""
    numbers = pd.Series(-1, index=frame.index)
    for number, recipe in enumerate(by_recipe(frame)):
        numbers[recipe.runs.index] = number
    return numbers.tolist()


def places(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return one entry for each group of `grouped` and choice of sites, in order of appearance.

    Keys: title, group, sites, metric. A run without sites belongs to all places of its group.
    """
    found = []
    for number, (task, data, variant, runs) in enumerate(by_recipe(frame)):
        for sites in comparable.places(runs):
            metrics = [metric for metric in runs["metric"].unique() if isinstance(metric, str)]
            found.append(
                {
                    "title": comparable.title(task, data, sites, variant),
                    "group": number,
                    "sites": sites,
                    "metric": metrics[0] if metrics else None,
                }
            )
    return found


def styles(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each mechanism, those of the figures."""
    return {str(word): (color(str(word)), marker(str(word))) for word in frame["mechanism"]}
