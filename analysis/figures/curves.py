"""Learning curves by mechanism: the headline metric and the training loss against the epoch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from analysis.figures.drawing import line_ends
from analysis.figures.drawing.labels import name
from analysis.figures.drawing.line_ends import End
from analysis.figures.drawing.page import PANEL, data, page, pages, settle, title_panel, where
from analysis.figures.drawing.palette import OTHERS, color, dashes, ink, marker
from analysis.figures.drawing.style import STYLE, gridlines, write
from analysis.figures.drawing.ticks import InUnit
from analysis.figures.kind import Kind
from analysis.stats.group import Group
from analysis.stats.metrics import axis

__all__ = ["CURVES", "draw", "figure", "mean_curve"]

FEW = 30  # points of a curve
ENDS = 2


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``<task>-<data>-curves.png``, ``.svg`` and ``.pdf`` into the folder `out`.

    Parameters
    ----------
    groups: sequence of Group
        A group is left out if its runs have no curve of the metric.
    out: Path
        Created if need be.
    """
    shown = [group for group in groups if any(map(len, _curves(group.done, "curve")))]
    written = []
    for stem, heading, members in pages(shown):
        with mpl.rc_context(STYLE):
            written += write(figure(members, heading), out / f"{stem}-curves")
    return written


def figure(groups: Sequence[Group], heading: str) -> Figure:
    """Draw a row a group: the metric on the left, the loss on the right.

    The loss alone where no run was evaluated between its beginning and its end: two points are no
    curve.
    """
    columns = ["curve", "loss_curve"]
    if not any(_curved(group, "curve") for group in groups):
        columns = [name for name in columns if any(_curved(g, name) for g in groups)] or columns
    most = max(len(group.seeds) for group in groups)
    # Names stand one below the other.
    least = (line_ends.PITCH * most) / 72 + 0.8
    size = (PANEL[0], max(PANEL[1], least))
    shown = {"curve": groups[0].metric.name, "loss_curve": "training loss"}
    what = " and ".join(shown[name] for name in columns)
    caption = f"Learning curves, {what}: {where(groups)}."
    count = len(columns) * len(groups)
    notes = _notes(groups, columns)
    image, grid = page(heading, count, notes, size, caption=caption, least=least)
    named = []
    panels = iter(grid)
    for group in groups:
        for column, axes in zip(columns, panels, strict=False):
            # The loss of a batch is noisy enough; thin lines of its seeds would hide the means.
            ends = _lines(axes, group.done, column, seeds=column == "curve")
            named.append((axes, ends, line_ends.write(axes, ends)))
            if column == columns[0]:
                title_panel(axes, group.sites)
            if column == "loss_curve":
                _loss_axis(axes)
                continue
            axes.set_ylabel(axis(group.metric))
            axes.yaxis.set_major_formatter(InUnit(group.metric.point))
    settle(image)
    for axes, ends, texts in named:
        line_ends.move(axes, ends, texts)
    return image


def _curved(group: Group, column: str) -> bool:
    """Whether a run has more of it than a beginning and an end."""
    return any(len(curve) > ENDS for curve in _curves(group.done, column))


def mean_curve(curves: Sequence[np.ndarray]) -> np.ndarray:
    """Average curves over the epochs that all of them cover, at every epoch that one of them has.

    Parameters
    ----------
    curves: sequence of numpy.ndarray, each (n, 2)
        Epochs, ascending, and values. A curve is straight between its points.

    Returns
    -------
    numpy.ndarray, (n, 2)
        Empty if there is no common epoch.
    """
    curves = [curve for curve in curves if len(curve)]
    if not curves:
        return np.empty((0, 2))
    epochs = np.unique(np.concatenate([curve[:, 0] for curve in curves]))
    first, last = max(c[0, 0] for c in curves), min(c[-1, 0] for c in curves)
    epochs = epochs[(epochs >= first) & (epochs <= last)]
    values = [np.interp(epochs, curve[:, 0], curve[:, 1]) for curve in curves]
    return np.column_stack([epochs, np.mean(values, axis=0)])


def _curves(runs: pd.DataFrame, column: str) -> list[np.ndarray]:
    """The curves of a column, without the points that are not numbers (a loss may diverge)."""
    if column not in runs:
        return [np.empty((0, 2))] * len(runs)
    curves = []
    for points in runs[column]:
        pairs = [] if points is None or np.ndim(points) == 0 else [tuple(p) for p in points]
        curve = np.asarray(pairs, dtype=float).reshape(-1, 2)
        curves.append(curve[np.isfinite(curve).all(axis=1)])
    return curves


def _lines(axes: Axes, runs: pd.DataFrame, column: str, seeds: bool) -> list[End]:
    """Draw a line a mechanism, perhaps thin ones of its seeds, and return the ends."""
    ends = []
    by_mechanism = sorted(
        runs.groupby("mechanism"), key=lambda item: (color(item[0]) != OTHERS, item[0])
    )
    for mechanism, own in by_mechanism:
        curves = [curve for curve in _curves(own, column) if len(curve)]
        mean = mean_curve(curves)
        if not len(mean):
            continue
        tone, key = color(mechanism), color(mechanism) != OTHERS
        style = {"color": tone, "linestyle": dashes(mechanism)}
        if key and seeds and len(curves) > 1:
            for curve in curves:
                axes.plot(*curve.T, lw=0.6, alpha=0.4, zorder=2.4, **style)
        # Use the markers of the other figures if they do not run into each other.
        sign = marker(mechanism) if key and len(mean) <= FEW else "none"
        width, layer = (1.4, 3) if key else (0.8, 2)
        axes.plot(*mean.T, marker=sign, ms=3.5, lw=width, zorder=layer, gid=mechanism, **style)
        ends.append(
            End(
                float(mean[-1, 0]),
                float(mean[-1, 1]),
                name(mechanism),
                ink(tone),
                "bold" if key else "normal",
            )
        )
    gridlines(axes)
    axes.set_xlabel("epoch")
    axes.margins(x=0.02)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ends


def _loss_axis(axes: Axes) -> None:
    """Scale it logarithmically, or the first steps would press the rest together."""
    axes.set_ylabel("training loss, logarithmic")
    low = min((np.min(line.get_ydata()) for line in axes.lines), default=0)
    if low <= 0:
        axes.set_ylabel("training loss")
        return
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(InUnit())


def _notes(groups: Sequence[Group], columns: Sequence[str]) -> list[str]:
    seeds = {n for group in groups for n in group.seeds.values()}
    left = "curve" in columns
    meaning = "Lines: mean over seeds"
    meaning += "; thin lines on the left: each seed of a mechanism in colour." if left else "."
    if seeds == {1}:
        meaning = "One seed: differences between lines cannot be told from noise."
    start = "Epoch 0 is the untrained network."
    if not left:
        start = f"{groups[0].metric.name} was measured before and after the training alone."
    return [*data(groups), meaning, start]


CURVES = Kind("Learning curves", "runs that were evaluated while they trained", draw, rank=70)
