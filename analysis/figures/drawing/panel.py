"""One panel: accuracy against a cost, a point a mechanism, with intervals, seeds, front, names."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.markers import CARETDOWN, CARETUP
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator
from matplotlib.transforms import ScaledTranslation

from analysis.figures.drawing import labels
from analysis.figures.drawing.boxes import Box
from analysis.figures.drawing.page import fitted
from analysis.figures.drawing.palette import OTHERS, color, is_key, marker
from analysis.figures.drawing.pareto import front
from analysis.figures.drawing.style import gridlines
from analysis.figures.drawing.ticks import InUnit, decimal
from analysis.stats.group import Group
from analysis.stats.metrics import axis
from plugins.contracts.metric import Metric

__all__ = [
    *("MACS", "PARAMETERS", "SEED", "TIME", "Cost"),
    *("accuracy", "beyond_note", "drawn", "front_note", "front_of", "names", "points"),
]

DOT = 5.5  # diameter of a point, in typographic points
SEED: dict[str, Any] = {"ms": 4.0, "mew": 0, "alpha": 0.9, "zorder": 2.6, "gid": "seeds"}
PITCH, SPREAD = 1.8, 4.5  # from bar to bar at one cost, and from the first to the last at most
LINEAR_SPAN = 30  # most and least expensive farther apart than this: logarithmic cost
FRONT_COLOR = "#DADADA"  # pale and broad: its risers run along the intervals of the points
FROM_ZERO = 0.2  # least cost over largest below which zero is on the axis
FAR_OUT = 3.0  # Tukey's outer fence, in widths of the middle half (Exploratory Data Analysis, 1977)


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
    counted: bool
        Whether it is a number that another machine gives as well. Only then is there a front.
    suffix: str
        Of the names of files.
    """

    column: str
    name: str
    units: tuple[tuple[float, str], ...]
    least: float
    counted: bool
    suffix: str = ""

    def unit(self, values: pd.Series) -> tuple[float, str]:
        """Return size and name of the largest unit that the largest value is large enough for."""
        fitting = (unit for unit in self.units if values.max() >= self.least * unit[0])
        return next(fitting, self.units[-1])


# In G as everywhere; an axis of thousandths of it, as of a network for a laptop, is in M.
MACS = Cost("mechanism_macs", "MACs of the mechanism", ((1e9, "G"), (1e6, "M")), 0.1, counted=True)
TIME = Cost(
    "seconds",
    "time of a run",
    ((3600, "h"), (60, "min"), (1, "s")),
    2,
    counted=False,
    suffix="-time",
)
PARAMETERS = Cost(
    "mechanism_parameters",
    "parameters of the mechanism",
    ((1e6, "M"), (1e3, "k")),
    1,
    counted=True,
    suffix="-parameters",
)


def drawn(group: Group, cost: Cost, only: Collection[str] | None = None) -> pd.DataFrame:
    """Return the rows, or `only` some, that have both a mean and a cost, cheap ones first.

    Their column ``reach`` is half the interval of the mean, see `Group.reach`; ``beyond`` says
    whether the mean is so much worse than the others that the axis leaves it out.
    """
    rows = group.rows[(group.rows["n"] > 0) & group.rows[cost.column].notna()]
    rows = rows if only is None else rows[rows["mechanism"].isin(only)]
    rows = rows.assign(
        reach=rows["mechanism"].map(group.reach).astype(float),
        beyond=_far_worse(group.metric.sign * rows["mean"], group.metric.point)
        & (rows["mechanism"] != group.baseline),
    )
    return rows.sort_values([cost.column, "mean"], kind="stable")


def points(
    axes: Axes, group: Group, cost: Cost, pareto: bool = True, only: Collection[str] | None = None
) -> None:
    """Draw points, 95 % intervals, seeds, the baseline's dashed line and the Pareto front.

    Parameters
    ----------
    axes: Axes
        Empty.
    group: Group
        At least one of its mechanisms has a mean and a cost.
    cost: Cost
        The x axis.
    pareto: bool
        Whether to draw the front, where there is one; see `front_of`.
    only: collection of str, optional
        The mechanisms to draw, if not all.
    """
    rows = drawn(group, cost, only)
    size, unit = cost.unit(rows[cost.column])
    below = _scale(axes, rows[cost.column], cost, size)
    axes.xaxis.set_major_formatter(InUnit(size))
    seeds = {word: own.to_numpy() for word, own in group.done.groupby("mechanism")["value"]}
    near = rows[~rows["beyond"]]
    values = np.concatenate([seeds[word] for word in near["mechanism"]])
    accuracy(axes, near["mean"], near["reach"], values)
    for row, aside in zip(rows.to_dict("records"), _aside(axes, rows, cost), strict=True):
        tone = color(row["mechanism"])
        at, mean = row[cost.column], row["mean"]
        moved = ScaledTranslation(aside / 72, 0, axes.figure.dpi_scale_trans)
        place = axes.transData + moved
        if row["n"] > 1:
            own = seeds[row["mechanism"]]
            axes.plot(np.full(len(own), at), own, ".", color=tone, transform=place, **SEED)
        if row["beyond"]:
            _at_edge(axes, at, tone, group.metric.higher_is_better)
            continue
        if not math.isnan(row["reach"]):
            # Paler than the points, or a dozen bars side by side would hide them.
            ends = (mean - row["reach"], mean + row["reach"])
            axes.vlines(at, *ends, color=tone, lw=0.9, alpha=0.55, zorder=2.5, transform=place)
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        sign, layer = marker(row["mechanism"]), 3 if tone == OTHERS else 4
        axes.plot(at, mean, sign, color=tone, markersize=DOT, zorder=layer, **edge)
    for mean in rows.loc[rows["mechanism"] == group.baseline, "mean"]:
        axes.axhline(mean, color=color(str(group.baseline)), lw=0.8, ls=(0, (5, 4)), zorder=1)
    if pareto and len(best := front_of(rows, cost, group.metric)):
        x, y = best[cost.column].tolist(), best["mean"].tolist()
        axes.step(x, y, where="post", color=FRONT_COLOR, lw=2.6, zorder=0.9, gid="front")
    axes.set_ylabel(axis(group.metric))
    axes.yaxis.set_major_formatter(InUnit(group.metric.point))
    linear = f", logarithmic from {decimal(below / size)}" if below else ""
    name = f"{cost.name} ({unit}){linear}"
    axes.set_xlabel(name if fitted(axes, name) == name else name.replace(", ", ",\n"))


def accuracy(axes: Axes, means: pd.Series, reach: pd.Series, seeds: Collection[float] = ()) -> None:
    """Set the y axis so that the intervals and the seeds fit in."""
    reach = reach.fillna(0)
    low, high = min([(means - reach).min(), *seeds]), max([(means + reach).max(), *seeds])
    room = 0.12 * (high - low or abs(high) or 1)
    axes.set_ylim(low - room, high + room)
    gridlines(axes)


def names(
    axes: Axes,
    group: Group,
    cost: Cost,
    keep_clear: Sequence[Box] = (),
    only: Collection[str] | None = None,
) -> list[str]:
    """Write the mechanisms' words beside their points; the position of the axes must be final.

    Points that lie on each other share a label. Those of the paper's key configurations are always
    written, the others where there is room.

    Returns
    -------
    list of str
        The mechanisms without a label.
    """
    rows = drawn(group, cost, only)
    key = rows["mechanism"].map(is_key).astype(bool)
    rows = pd.concat([rows[key], rows[~key]])
    rows = rows.assign(mean=rows["mean"].clip(*axes.get_ylim()))  # those beyond are at the edge
    places = axes.transData.transform(rows[[cost.column, "mean"]].to_numpy(dtype=float))
    texts = labels.merged(rows["mechanism"], places, DOT * axes.figure.dpi / 72)
    lines = []  # intervals, front and dashed line, which labels should avoid
    for row in rows.to_dict("records"):
        at, mean = row[cost.column], row["mean"]
        reach = 0.0 if math.isnan(row["reach"]) or row["beyond"] else row["reach"]
        lines.append(((at, mean - reach), (at, mean + reach)))
        if row["mechanism"] == group.baseline:
            left, right = axes.get_xlim()
            lines += [((left, mean), (right, mean))] * 2  # black: twice as bad to write over
    for line in axes.lines:
        if line.get_gid() == "front":
            steps = np.asarray(line.get_xydata())
            for (x, y), (x_end, y_end) in itertools.pairwise(steps):
                lines += [((x, y), (x_end, y)), ((x_end, y), (x_end, y_end))]
    boxes = [Box(*_corners(axes.transData.transform(line))).grown(1.0) for line in lines]
    return labels.draw(axes, texts, places, DOT, [*boxes, *keep_clear])


def front_of(rows: pd.DataFrame, cost: Cost, metric: Metric) -> pd.DataFrame:
    """Return the rows on the Pareto front of the means that have an interval, cheap ones first.

    Empty where no front can be told: of a time, which another machine would change, of means
    without intervals, of fewer than two mechanisms.
    """
    rows = rows[rows["reach"].notna() & ~rows["beyond"]]
    if not cost.counted or len(rows) < 2:
        return rows.iloc[:0]
    return rows.iloc[front(rows[cost.column].tolist(), (metric.sign * rows["mean"]).tolist())]


def beyond_note(panels: Iterable[tuple[Group, Collection[str] | None]], cost: Cost) -> list[str]:
    """Name what the axes leave out, with its mean, of panels of all or only some mechanisms."""
    left_out = []
    for group, only in panels:
        rows = drawn(group, cost, only)
        means = [
            f"{row['mechanism']} {group.metric.format(row['mean'])}"
            for row in rows[rows["beyond"]].to_dict("records")
        ]
        left_out += [f"{', '.join(means)} ({group.sites})"] if means else []
    if not left_out:
        return []
    return [f"At the edge, their means being far worse than the others: {'; '.join(left_out)}."]


def front_note(groups: Iterable[Group], cost: Cost) -> list[str]:
    """Say what the broad grey line is, if there is one."""
    sides = {
        "higher" if group.metric.higher_is_better else "lower"
        for group in groups
        if len(front_of(drawn(group, cost), cost, group.metric))
    }
    if not sides:
        return []
    return [
        "Broad grey line: Pareto front of the means with bars (no other of them costs less and "
        f"reaches a {' or '.join(sorted(sides))} mean)."
    ]


def _far_worse(gains: pd.Series, point: float) -> pd.Series:
    """Tell which means lie beyond Tukey's outer fence on the worse side, of larger is better.

    One training in a grid that learned nothing would squeeze all others. What is far better is no
    such case: it is what the figure is about. A middle half narrower than a point is taken for one.
    """
    first, third = gains.quantile(0.25), gains.quantile(0.75)
    return gains < first - FAR_OUT * max(third - first, point)


def _at_edge(axes: Axes, at: float, tone: str, down: bool) -> None:
    """Draw an arrowhead where a point lies beyond the axis."""
    place, sign = (0.0, CARETDOWN) if down else (1.0, CARETUP)
    axes.plot(at, place, marker=sign, color=tone, ms=DOT, transform=axes.get_xaxis_transform(),
              clip_on=False, zorder=4)  # fmt: skip


def _aside(axes: Axes, rows: pd.DataFrame, cost: Cost) -> list[float]:
    """How far each bar stands beside its point, in typographic points: bars at one cost do."""
    x = axes.transData.transform([(at, 0.0) for at in rows[cost.column]])[:, 0]
    x = x * 72 / axes.figure.dpi
    runs: list[list[int]] = []
    for index, at in enumerate(x):
        if runs and at - x[runs[-1][-1]] < PITCH:
            runs[-1].append(index)
        else:
            runs.append([index])
    offsets: list[float] = []
    for run in runs:
        pitch = min(PITCH, SPREAD / max(len(run) - 1, 1))
        offsets += [pitch * (place - (len(run) - 1) / 2) for place in range(len(run))]
    return offsets


def _corners(ends: np.ndarray) -> tuple[float, float, float, float]:
    (x0, y0), (x1, y1) = ends.min(axis=0), ends.max(axis=0)
    return float(x0), float(y0), float(x1), float(y1)


def _scale(axes: Axes, values: pd.Series, cost: Cost, unit: float) -> float:
    """Scale the x axis; return where a logarithmic one turns linear, or zero for a linear one."""
    positive = values[values > 0]
    low, high = values.min(), values.max() or unit
    if positive.empty or positive.max() <= LINEAR_SPAN * positive.min():
        room = 0.08 * (high - low) or 0.5 * high
        from_zero = cost.counted and low <= FROM_ZERO * high
        axes.set_xlim(*((-0.05 * high, 1.12 * high) if from_zero else (low - room, high + room)))
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
