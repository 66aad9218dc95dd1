"""What else a task recorded of its runs than the metric that tables and figures show."""

from __future__ import annotations

import pandas as pd

from analysis.runs.table import METRICS
from analysis.stats.group import Group
from analysis.tables.columns import written
from plugins.contracts.tasks import metric_of
from study.errors import StudyError, nearest

__all__ = ["by_metric", "others", "recorded"]


def others(group: Group) -> pd.DataFrame:
    """Return the means over seeds of all other metrics, as text.

    Left out are numbers whose unit the task does not tell, and what the data alone give.

    Returns
    -------
    pandas.DataFrame
        A row a mechanism, in the order of `Group.rows`; no column if nothing else was recorded.
    """
    means = group.done.groupby("mechanism", sort=False)
    shown = pd.DataFrame({"mechanism": group.rows["mechanism"]})
    for column in group.done.columns[group.done.columns.str.startswith(METRICS)]:
        metric = metric_of(group.task, column.removeprefix(METRICS))
        if not metric.unit or metric.of_data or metric.name == group.metric.name:
            continue
        values = means[column].mean()
        if values.notna().any():
            shown[metric.shown] = written(values.reindex(shown["mechanism"]), metric.format)
    return shown if len(shown.columns) > 1 else pd.DataFrame()


def recorded(runs: pd.DataFrame) -> list[str]:
    """Return the names of all metrics that some of the runs have."""
    return [column.removeprefix(METRICS) for column in runs if column.startswith(METRICS)]


def by_metric(runs: pd.DataFrame, name: str) -> pd.DataFrame:
    """Return runs as if another metric that they recorded were the first of their task.

    What it was before training is not known of another one.

    Raises
    ------
    StudyError
        If no run has recorded it.
    """
    if name not in (known := recorded(runs)):
        raise StudyError(f"--metric {name}: no run has recorded it{nearest(name, known)}")
    there = runs[runs[METRICS + name].notna()]
    return there.assign(metric=name, value=there[METRICS + name], untrained=float("nan"))
