"""What is known of a metric: the one place that asks its task."""

from __future__ import annotations

import functools
import math

from plugins.contracts.metric import Metric

__all__ = ["axis", "fine", "metric_of"]

FINE = 2  # digits behind a point, for differences


@functools.cache
def metric_of(task: str, name: str) -> Metric:
    """Return the definition of a metric; a plain one where the task is not installed."""
    known = {
        ("detection", "mAP"): Metric("mAP", point=0.01, decimals=3),
        ("segmentation", "mIoU"): Metric("mIoU", point=0.01, decimals=3),
    }
    return known.get((task, name), Metric(name))


def fine(metric: Metric, value: float, signed: bool = False) -> str:
    """Write a value, or a difference, so that a hundredth of a point is the last digit."""
    digits = max(0, FINE - math.floor(math.log10(metric.point)))
    return f"{value:{'+' if signed else ''}.{digits}f}"


def axis(metric: Metric) -> str:
    """Return how an axis with the metric is named."""
    return metric.name if metric.higher_is_better else f"{metric.name} (lower is better)"
