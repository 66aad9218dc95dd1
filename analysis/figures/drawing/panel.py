"""One panel: accuracy against a cost, a point a mechanism, with intervals, front and labels."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from analysis.figures.drawing import labels
from analysis.figures.drawing.boxes import Box
from analysis.figures.drawing.palette import OTHERS, color, ink, marker
from analysis.figures.drawing.pareto import front
from analysis.figures.drawing.style import gridlines
from analysis.figures.drawing.ticks import InUnit, decimal
from analysis.stats.group import Group
from analysis.stats.metrics import axis
from plugins.contracts.metric import Metric

__all__ = ["MACS", "TIME", "Cost", "accuracy", "drawn", "front_note", "name", "names", "points"]

DOT = 5.5  # diameter of a point, in typographic points
LINEAR_SPAN = 30  # most and least expensive farther apart than this: logarithmic cost
FRONT_COLOR = "#DADADA"  # pale and broad: its risers run along the intervals of the points


@dataclass(frozen=True)
class Cost:
    """What stands on the x axis.

    Parameters
    ----------
    column: str
        Of `Group.rows`.
    name: str
        Of the axis.
    units: tuple of (float, str)
        Units to choose from, the largest first, with their sizes.
    least: float
        How many of a unit the largest value must have.
    zero: bool
        Whether zero is on the axis.
    """

    column: str
    name: str
    units: tuple[tuple[float, str], ...]
    least: float
    zero: bool

    def unit(self, values: pd.Series) -> tuple[float, str]:
        """Return size and name of the largest unit that the largest value is large enough for."""
        fitting = (unit for unit in self.units if values.max() >= self.least * unit[0])
        return next(fitting, self.units[-1])


MACS = Cost("mechanism_macs", "MACs of the mechanism", ((1e9, "G"),), 0, zero=True)
TIME = Cost("seconds", "time of a run", ((3600, "h"), (60, "min"), (1, "s")), 2, zero=False)


def drawn(group: Group, cost: Cost, only: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows, or `only` some, that have both a mean and a cost, cheap ones first."""
    rows = group.rows[(group.rows["n"] > 0) & group.rows[cost.column].notna()]
    rows = rows if only is None else rows[rows["mechanism"].isin(only)]
    return rows.sort_values([cost.column, "mean"], kind="stable")


def points(
    axes: Axes, group: Group, cost: Cost, pareto: bool = True, only: Collection[str] | None = None
) -> None:
    """Draw points, 95 % intervals, the baseline's dashed line and the Pareto front.

    Parameters
    ----------
    axes: Axes
        Empty.
    group: Group
        At least one of its mechanisms has a mean and a cost.
    cost: Cost
        The x axis.
    pareto: bool
        Whether to draw the front.
    only: collection of str, optional
        The mechanisms to draw, if not all.
    """
    rows = drawn(group, cost, only)
    size, unit = cost.unit(rows[cost.column])
    below = _scale(axes, rows[cost.column], cost, size)
    axes.xaxis.set_major_formatter(InUnit(size))
    for row in rows.to_dict("records"):
        tone = color(row["mechanism"])
        at, mean = row[cost.column], row["mean"]
        if not math.isnan(row["half_width"]):
            # Paler than the points, or a dozen bars side by side would hide them.
            bar = axes.errorbar(
                at, mean, row["half_width"], fmt="none", ecolor=tone, elinewidth=0.8
            )
            for part in bar.get_children():
                part.set(alpha=0.45, zorder=2.5)
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        sign, layer = marker(row["mechanism"]), 3 if tone == OTHERS else 4
        axes.plot(at, mean, sign, color=tone, markersize=DOT, zorder=layer, **edge)
    for mean in rows.loc[rows["mechanism"] == group.baseline, "mean"]:
        axes.axhline(mean, color=color(str(group.baseline)), lw=0.8, ls=(0, (5, 4)), zorder=1)
    if pareto:
        x, y = _front(rows, cost, group.metric)
        axes.step(x, y, where="post", color=FRONT_COLOR, lw=2.6, zorder=0.9, gid="front")
    accuracy(axes, rows["mean"], rows["half_width"])
    axes.set_ylabel(axis(group.metric))
    axes.yaxis.set_major_formatter(InUnit(group.metric.point))
    linear = f", logarithmic from {decimal(below / size)}" if below else ""
    axes.set_xlabel(f"{cost.name} ({unit}){linear}")


def accuracy(axes: Axes, means: pd.Series, reach: pd.Series) -> None:
    """Set the y axis so that the intervals fit in."""
    reach = reach.fillna(0)
    low, high = (means - reach).min(), (means + reach).max()
    room = 0.12 * (high - low or abs(high) or 1)
    axes.set_ylim(low - room, high + room)
    gridlines(axes)


def names(
    axes: Axes,
    group: Group,
    cost: Cost,
    keep_clear: Sequence[Box] = (),
    only: Collection[str] | None = None,
) -> None:
    """Write the mechanisms' words beside their points; the position of the axes must be final."""
    rows = drawn(group, cost, only)
    key = np.array([color(mechanism) != OTHERS for mechanism in rows["mechanism"]], dtype=bool)
    texts = []
    lines = []  # intervals and the dashed line, which labels should avoid
    for row in pd.concat([rows[key], rows[~key]]).to_dict("records"):
        tone, at, mean = color(row["mechanism"]), row[cost.column], row["mean"]
        weight = "normal" if tone == OTHERS else "bold"
        texts.append(labels.Label(at, mean, name(row["mechanism"]), ink(tone), weight))
        reach = 0.0 if math.isnan(row["half_width"]) else row["half_width"]
        lines.append(((at, mean - reach), (at, mean + reach)))
        if row["mechanism"] == group.baseline:
            left, right = axes.get_xlim()
            lines += [((left, mean), (right, mean))] * 2  # black: twice as bad to write over
    boxes = [Box(*_corners(axes.transData.transform(line))).grown(1.0) for line in lines]
    labels.draw(axes, texts, DOT, [*boxes, *keep_clear])


def name(mechanism: str) -> str:
    """Return what a label says."""
    return "none (w/o)" if mechanism == "none" else mechanism


def front_note(groups: Iterable[Group]) -> str:
    """Say what the broad grey line is."""
    sides = {"higher" if group.metric.higher_is_better else "lower" for group in groups}
    return (
        "Broad grey line: Pareto front (no other mechanism costs less and reaches a "
        f"{' or '.join(sorted(sides))} mean)."
    )


def _front(rows: pd.DataFrame, cost: Cost, metric: Metric) -> tuple[list[float], list[float]]:
    best = rows.iloc[front(rows[cost.column].tolist(), (metric.sign * rows["mean"]).tolist())]
    return best[cost.column].tolist(), best["mean"].tolist()


def _corners(ends: np.ndarray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = ends.min(axis=0), ends.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _scale(axes: Axes, values: pd.Series, cost: Cost, unit: float) -> float:
    """Scale the x axis; return where a logarithmic one turns linear, or zero for a linear one."""
    positive = values[values > 0]
    low, high = values.min(), values.max() or unit
    if positive.empty or positive.max() <= LINEAR_SPAN * positive.min():
        room = 0.08 * (high - low or high)
        axes.set_xlim(*((-0.05 * high, 1.12 * high) if cost.zero else (low - room, high + room)))
        # Ticks at round numbers of the unit, which need not be round in the base unit (minutes).
        axes.xaxis.set_major_locator(_InUnit(unit))
        return 0.0
    smallest, largest = positive.min(), positive.max()
    exponents = range(math.floor(math.log10(smallest)), math.ceil(math.log10(largest)) + 1)
    steps = [digit * 10.0**exponent for exponent in exponents for digit in (1, 2, 5)]
    below = max(step for step in steps if step <= smallest)
    decades = math.log10(largest / below)
    # Zero stands off by a sixth of the width, however many decades there are.
    axes.set_xscale("symlog", linthresh=below, linscale=0.18 * decades)
    axes.set_xlim(-0.35 * below, largest * 10 ** (0.12 * decades))
    ticks = [step for step in steps if below <= step <= axes.get_xlim()[1]]
    if len(ticks) > 8:
        ticks = [step for step in ticks if f"{step:e}".startswith("1")]
    axes.xaxis.set_major_locator(FixedLocator([0, *ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    return below


class _InUnit(MaxNLocator):
    """Ticks at round multiples of a unit."""

    def __init__(self, unit: float) -> None:
        super().__init__(nbins=8, steps=[1, 2, 2.5, 5, 10])
        self.unit = unit

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """The positions of the ticks between two values."""
        ticks = super().tick_values(vmin / self.unit, vmax / self.unit)
        return [self.unit * tick for tick in ticks]
