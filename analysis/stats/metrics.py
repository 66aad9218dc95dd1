"""How a metric is written, and how an axis with it is named."""

from __future__ import annotations

from dataclasses import replace

from plugins.contracts.metric import Metric

__all__ = ["axis", "fine"]

FINE = 2  # digits after the decimal point of a difference in points, at least


def fine(metric: Metric, value: float, signed: bool = False) -> str:
    """Write a value, or a difference, in points, to a hundredth of one or finer."""
    return replace(metric, decimals=max(FINE, metric.decimals)).format(value, signed)


def axis(metric: Metric) -> str:
    """Return how an axis with the metric, in points, is named."""
    return metric.shown if metric.higher_is_better else f"{metric.shown} (lower is better)"
