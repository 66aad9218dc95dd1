"""What is known of a metric: the one place that asks its task."""

from __future__ import annotations

import functools
import math

from plugins.contracts.metric import Metric
from plugins.contracts.names import UnknownName
from plugins.contracts.tasks import find_task

__all__ = ["axis", "fine", "metric_of"]

FINE = 2  # digits behind a point, for differences


@functools.cache
def metric_of(task: str, name: str) -> Metric:
    """Return the definition of a metric; a plain one where the task is not installed."""
    try:
        return find_task(task).metric(name)
    except UnknownName:
        return Metric(name)


def fine(metric: Metric, value: float, signed: bool = False) -> str:
    """Write a value, or a difference, so that a hundredth of a point is the last digit."""
    digits = max(0, FINE - math.floor(math.log10(metric.point)))
    return f"{value:{'+' if signed else ''}.{digits}f}"


def axis(metric: Metric) -> str:
    """Return how an axis with the metric is named."""
    return metric.name if metric.higher_is_better else f"{metric.name} (lower is better)"
