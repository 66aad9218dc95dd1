"""A group as the text that a reader sees: rounded numbers in columns that name their unit."""

from __future__ import annotations

import math

import pandas as pd

from analysis.stats.group import Group
from analysis.stats.metrics import fine
from plugins.contracts.metric import Metric

__all__ = ["ABSENT", "columns", "fixed", "interval", "number", "p_value"]

ABSENT = "-"

SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def columns(group: Group) -> pd.DataFrame:
    """Return the rows as text, what a reader looks for first at the left.

    Returns
    -------
    pandas.DataFrame
        Strings, `ABSENT` for a number that does not exist. Columns are pairs of a heading, which
        several columns may share, and a name below it; either may be empty. Left out, and in the
        CSV file only: the metric before training and the loss.
    """
    rows, baseline = group.rows, group.baseline
    metric, decimals = group.metric.name or "metric", group.metric.decimals
    shown: dict[tuple[str, str], list[str]] = {
        ("", "mechanism"): list(rows["mechanism"]),
        ("", "n"): [_seeds(n, asked) for n, asked in zip(rows["n"], rows["asked"], strict=True)],
        (metric, ""): fixed(rows["mean"], decimals),
        (metric, "±"): fixed(rows["half_width"], decimals),
    }
    if (reference := rows["mechanism"] == baseline).any():
        delta = f"Δ {baseline}"
        pairs = rows["pairs"].where(rows["difference"].notna() & ~reference)
        shown |= {
            (delta, ""): fixed(rows["difference"], decimals, sign="+"),
            (delta, "±"): fixed(rows["difference_half_width"], decimals),
            (delta, "n"): fixed(pairs, 0),
        }
        shown[delta, ""][int(reference.argmax())] = "baseline"
    for heading, kind in (("MACs", "macs"), ("parameters", "parameters")):
        for whose, name in (("mechanism", "mech."), ("model", "model")):
            scale, prefix = _scale(rows[f"{whose}_{kind}"])
            unit = f" ({prefix})" if prefix else ""
            numbers = fixed(rows[f"{whose}_{kind}"] / scale, 2 if prefix else 0)
            shown[heading, f"{name}{unit}"] = numbers
    shown["", "seconds"] = fixed(rows["seconds"], 0 if rows["seconds"].max() >= 100 else 1)
    scale, prefix = _scale(rows["peak_memory_bytes"])
    shown["", f"memory ({prefix}B)"] = fixed(rows["peak_memory_bytes"] / scale, 2 if prefix else 0)
    for column in group.published:
        values = rows[column.name]
        shown["published", column.label] = fixed(values, _digits(values))
    return pd.DataFrame(shown)


def fixed(values: pd.Series, decimals: int, sign: str = "") -> list[str]:
    """Return numbers with so many decimals; `sign` ``+`` also marks those above zero."""
    return [ABSENT if math.isnan(v) else f"{v:{sign}.{decimals}f}" for v in values]


def number(value: float, metric: Metric) -> str:
    """Return a difference with its sign."""
    return ABSENT if math.isnan(value) else fine(metric, value, signed=True)


def interval(low: float, high: float, metric: Metric) -> str:
    """Return an interval of a difference."""
    return ABSENT if math.isnan(low) else f"{number(low, metric)} to {number(high, metric)}"


def p_value(value: float) -> str:
    """Return a p value with three decimals."""
    if math.isnan(value):
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _seeds(n: int, asked: int) -> str:
    if not asked:
        return ABSENT
    return str(n) if n == asked else f"{n}/{asked}"


def _digits(values: pd.Series) -> int:
    """How many decimals show every value as it is, six at most."""
    return max(len(f"{v:.6f}".rstrip("0").partition(".")[2]) for v in values.dropna())


def _scale(values: pd.Series) -> tuple[float, str]:
    """The largest unit in which two decimals still tell the smallest number from zero."""
    smallest = values[values > 0].min()
    return next(((s, p) for s, p in SCALES if smallest >= s / 10), (1.0, ""))
