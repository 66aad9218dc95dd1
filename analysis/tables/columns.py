"""A group as the text that a reader sees: rounded numbers in columns that name their unit."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pandas as pd

from analysis.stats.group import Group
from analysis.stats.metrics import fine
from plugins.contracts.metric import Metric
from study.units import duration, gibi, giga, mega

__all__ = ["ABSENT", "columns", "interval", "number", "p_value", "written"]

ABSENT = "-"


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
    name, metric = group.metric.shown or "metric", group.metric.format
    shown: dict[tuple[str, str], list[str]] = {
        ("", "mechanism"): list(rows["mechanism"]),
        ("", "n"): [_seeds(n, asked) for n, asked in zip(rows["n"], rows["asked"], strict=True)],
        (name, ""): written(rows["mean"], metric),
        (name, "±"): written(rows["half_width"], metric),
    }
    if (reference := rows["mechanism"] == baseline).any():
        delta = f"Δ {baseline}"
        pairs = rows["pairs"].where(rows["difference"].notna() & ~reference)
        shown |= {
            (delta, ""): written(rows["difference"], partial(metric, signed=True)),
            (delta, "±"): written(rows["difference_half_width"], metric),
            (delta, "n"): written(pairs, "{:.0f}".format),
        }
        shown[delta, ""][int(reference.argmax())] = "baseline"
    for kind, unit, write in (("MACs", "G", giga), ("parameters", "M", mega)):
        for whose, part in (("mechanism", "mech."), ("model", "model")):
            counts = rows[f"{whose}_{kind.lower()}"]
            shown[kind, f"{part} ({unit})"] = written(counts, write)
    shown["", "time"] = written(rows["seconds"], duration)
    shown["", "memory (GiB)"] = written(rows["peak_memory_bytes"], gibi)
    for column in group.published:
        values = rows[column.name]
        as_printed = replace(group.metric, decimals=_digits(values / group.metric.point))
        shown["published", column.label] = written(values, as_printed.format)
    return pd.DataFrame(shown)


def written(values: pd.Series, write: Callable[[float], str]) -> list[str]:
    """Return numbers as `write` writes them, and `ABSENT` for those that do not exist."""
    return [ABSENT if math.isnan(value) else write(value) for value in values]


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
