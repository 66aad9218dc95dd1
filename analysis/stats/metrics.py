"""What is known of a metric: the one place that asks its task."""

from __future__ import annotations

import functools
from dataclasses import replace

from plugins.contracts.metric import Metric
from plugins.contracts.names import UnknownName
from plugins.contracts.tasks import find_task

__all__ = ["axis", "fine", "metric_of"]

FINE = 2  # digits after the decimal point of a difference in points, at least


@functools.cache
def metric_of(task: str, name: str) -> Metric:
    """Return the definition of a metric; a plain one where the task is not installed."""
    try:
        return find_task(task).metric(name)
    except UnknownName:
        return Metric(name)


def fine(metric: Metric, value: float, signed: bool = False) -> str:
    """Write a value, or a difference, in points, to a hundredth of one or finer."""
    return replace(metric, decimals=max(FINE, metric.decimals)).format(value, signed)


def axis(metric: Metric) -> str:
    """Return how an axis with the metric, in points, is named."""
    return metric.shown if metric.higher_is_better else f"{metric.shown} (lower is better)"
