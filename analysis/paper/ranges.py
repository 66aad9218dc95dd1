"""Dynamic convolution against E2 over the same keys: accuracy and cost by spatial range.

The last rows of the paper's comparison restrict E2 to the kernel of dynamic convolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import line_ends, panel
from analysis.figures.drawing.line_ends import End
from analysis.figures.drawing.page import bars, data, page, settle, title_panel, where
from analysis.figures.drawing.palette import ink
from analysis.figures.drawing.panel import LINEAR_SPAN, MACS
from analysis.figures.drawing.style import gridlines
from analysis.figures.drawing.ticks import InUnit
from analysis.figures.kind import Kind
from analysis.paper import comparison
from analysis.stats.group import Group
from analysis.stats.metrics import axis

__all__ = ["RANGES", "draw", "figure", "rows"]

WORD = re.compile(r"(?P<base>dynamic|0100)(@(?P<range>\d+))?")
DYNAMIC_RANGE = 1
"""Range of ``dynamic`` without ``@``: three taps an axis (docs/mechanisms.md)."""

SERIES: dict[str, dict[str, Any]] = {
    "E2": {"color": "#0072B2", "marker": "o", "ls": "-"},
    "dynamic": {"color": "#CC79A7", "marker": "^", "ls": "--"},
}
DODGE = 0.05  # so that the intervals of two series do not hide each other


def rows(group: Group) -> pd.DataFrame:
    """Return the rows of the comparison, narrow ranges first.

    Returns
    -------
    pandas.DataFrame
        ``kind`` (``E2`` or ``dynamic``), ``range`` (infinite for unlimited), ``mechanism``, ``n``,
        ``mean``, ``half_width``, ``mechanism_macs``, and ``difference`` and
        ``difference_half_width`` to E2 within the same range. Empty unless there are both kinds.
    """
    there = set(panel.drawn(group, MACS)["mechanism"])
    found = []
    for mechanism in sorted(there):
        match = WORD.fullmatch(mechanism)
        if match is None:
            continue
        kind = "E2" if match["base"] == "0100" else "dynamic"
        unlimited = math.inf if kind == "E2" else DYNAMIC_RANGE
        reach = float(match["range"] or unlimited)
        reference = "0100" if math.isinf(reach) else f"0100@{reach:g}"
        place = {"kind": kind, "range": reach}
        found.append(place | comparison.row(group, mechanism, reference))
    frame = pd.DataFrame(found, columns=["kind", "range", *comparison.COLUMNS])
    if frame["kind"].nunique() < 2:
        return frame.iloc[:0]
    return frame.sort_values(["range", "kind", "mechanism"], ignore_index=True)


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``<task>-<data>-range`` as figure and as ``.md``, for groups that have rows."""
    front: comparison.Front = {"range": _range, "kind": str}
    return comparison.draw(groups, out, "range", rows, figure, front, "E2 of that range")


def figure(compared: Sequence[tuple[Group, pd.DataFrame]], heading: str) -> Figure:
    """Draw a row a group: accuracy by range on the left, MACs by range on the right."""
    groups = [group for group, _ in compared]
    notes = [
        *data(groups),
        *bars(groups),
        "Range k: keys within k positions on each axis, 2k + 1 an axis; dynamic without a range "
        f"has {2 * DYNAMIC_RANGE + 1} taps an axis.",
    ]
    title = f"Dynamic convolution against E2, by range · {heading}"
    caption = f"{groups[0].metric.name} and MACs of dynamic convolution and E2 by spatial range: "
    image, grid = page(title, 2 * len(compared), notes, caption=f"{caption}{where(groups)}.")
    named = []
    for index, (group, table) in enumerate(compared):
        left, right = grid[2 * index : 2 * index + 2]
        size, unit = MACS.unit(table["mechanism_macs"])
        scaled = table.assign(
            macs=table["mechanism_macs"] / size,
            exact=math.nan,
            reach=table["mechanism"].map(group.reach).astype(float),
        )
        seeds = {word: own.tolist() for word, own in group.done.groupby("mechanism")["value"]}
        none: dict[str, list[float]] = {}
        for axes, values, reach, dots in (
            (left, "mean", "reach", seeds),
            (right, "macs", "exact", none),
        ):
            ends = _series(axes, scaled, values, reach, dots)
            named.append((axes, ends, line_ends.write(axes, ends)))
        runs = [value for word in table["mechanism"] for value in seeds[word]]
        panel.accuracy(left, table["mean"], scaled["reach"], runs)
        left.set_ylabel(axis(group.metric))
        left.yaxis.set_major_formatter(InUnit(group.metric.point))
        title_panel(left, group.sites)
        _cost_axis(right, scaled["macs"], unit)
    settle(image)
    for axes, ends, texts in named:
        line_ends.move(axes, ends, texts)
    return image


def _series(
    axes: Axes, table: pd.DataFrame, values: str, reach: str, seeds: Mapping[str, list[float]]
) -> list[End]:
    order = sorted(set(table["range"]))
    ends = []
    for side, (kind, own) in zip((-1, 1), table.groupby("kind", sort=True), strict=True):
        style = SERIES[kind]
        x = [order.index(value) + side * DODGE for value in own["range"]]
        bars = None if own[reach].isna().all() else own[reach]
        axes.errorbar(
            x, own[values], bars, **style, ms=5.5, lw=1.3, elinewidth=0.8,
            markeredgecolor="white", markeredgewidth=0.5, gid=kind,
        )  # fmt: skip
        for at, word in zip(x, own["mechanism"], strict=True):
            dots = seeds.get(word, [])
            if len(dots) > 1:
                axes.plot([at] * len(dots), dots, ".", color=style["color"], **panel.SEED)
        label = "E2 (0100)" if kind == "E2" else kind
        ends.append(End(x[-1], own[values].iloc[-1], label, ink(style["color"]), "bold"))
    axes.set_xticks(range(len(order)), [*map(_range, order)])
    axes.set_xlim(-0.4, len(order) - 0.6)
    axes.set_xlabel("range")
    return ends


def _cost_axis(axes: Axes, macs: pd.Series, unit: str) -> None:
    axes.set_ylabel(f"MACs of the mechanism ({unit})")
    if macs.min() > 0 and macs.max() > LINEAR_SPAN * macs.min():
        axes.set_yscale("log")
        axes.set_ylabel(f"MACs of the mechanism ({unit}), logarithmic")
        axes.yaxis.set_major_formatter(InUnit())
    else:
        axes.set_ylim(0, 1.12 * macs.max() or 1)
    gridlines(axes)


def _range(value: float) -> str:
    return "unlimited" if math.isinf(value) else f"{value:g}"


RANGES = Kind(
    "Dynamic convolution against E2, by range",
    "dynamic and 0100, with or without a range",
    draw,
    rank=60,
)
