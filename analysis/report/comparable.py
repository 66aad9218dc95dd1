"""Which runs the pages compare: the runs of one group of `analysis.stats.group`."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from analysis.figures.drawing.palette import color, marker
from analysis.stats.group import Group
from analysis.stats.metrics import axis, metric_of

__all__ = ["belonging", "choices", "styles"]


def choices(groups: Sequence[Group]) -> list[dict[str, str | None]]:
    """Return title, task, sites and metric of each group, for the choice on the page of runs."""
    found: list[dict[str, str | None]] = []
    for group in groups:
        names = group.runs["metric"].dropna()
        metric = axis(metric_of(group.task, names.iloc[0])) if len(names) else None
        found.append(
            {"title": group.title, "task": group.task, "sites": group.sites, "metric": metric}
        )
    return found


def belonging(groups: Sequence[Group]) -> dict[str, list[int]]:
    """Return the numbers of the groups that each run belongs to, by its id.

    A run without sites belongs to all groups of its recipe.
    """
    found: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        for name in group.runs["id"]:
            found.setdefault(name, []).append(number)
    return found


def styles(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each mechanism, those of the figures."""
    return {str(word): (color(str(word)), marker(str(word))) for word in frame["mechanism"]}
