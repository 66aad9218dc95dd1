"""Which runs the pages compare: the runs of one group of `analysis.stats.group`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis.figures.drawing.palette import color, marker
from analysis.stats.group import Group
from analysis.stats.metrics import axis
from plugins.contracts.tasks import metric_of
from study.errors import StudyError

__all__ = ["belonging", "choices", "styles"]


def choices(groups: Sequence[Group], baselines: Mapping[str, str | None]) -> list[dict[str, Any]]:
    """Return what the pages must know of each group.

    Parameters
    ----------
    groups: sequence of Group
        All of the report.
    baselines: mapping of str to str or None
        The baseline of the grid of each run, by its id.

    Returns
    -------
    list of dict
        ``title``, ``task``, ``sites``; ``metric`` as an axis is named, ``sign`` (1 if higher is
        better); ``baseline``; ``means``: of each mechanism the number ``n`` of finished runs, their
        ``mean`` and ``half``, half of its 95 % interval by the model (NaN without one).
    """
    found = []
    for group in groups:
        names = group.runs["metric"].dropna()
        metric = metric_of(group.task, names.iloc[0]) if len(names) else None
        found.append(
            {
                "title": group.title,
                "task": group.task,
                "sites": group.sites,
                "metric": axis(metric) if metric else None,
                "sign": metric.sign if metric else 1,
                "baseline": next(filter(None, map(baselines.get, group.runs["id"])), None),
                "means": _means(group),
            }
        )
    return found


def _means(group: Group) -> dict[str, dict[str, float]]:
    try:
        means, reach = group.means["mean"], group.reach
    except (StudyError, ValueError, ArithmeticError):  # the overview says why
        return {}
    return {
        word: {"n": n, "mean": float(means[word]), "half": reach[word]}
        for word, n in group.seeds.items()
    }


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
