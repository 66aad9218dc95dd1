"""Accuracy against the cost of the mechanism: one figure per task and data, one panel per sites.

The same runs give the same bytes: nothing in a figure depends on the time, the display or chance.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import textwrap
from collections.abc import Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.figures import labels
from analysis.figures.boxes import Box
from analysis.figures.style import OTHERS, STYLE, color, marker, write
from analysis.summary import Summary, summarise

__all__ = ["figure", "plot"]

DOT = 5.5  # diameter of a point, in typographic points
PANEL = (5.4, 4.1)  # width and height in inches
LINEAR_SPAN = 30  # most and least expensive farther apart than this: logarithmic cost


def plot(frame: pd.DataFrame, out: Path, baseline: str | None) -> list[Path]:
    """Write ``<task>-<data>.png``, ``.svg`` and ``.pdf`` into the folder `out`.

    Parameters
    ----------
    frame: pandas.DataFrame
        Runs as `analysis.collect.collect` returns them; only completed ones are drawn.
    out: Path
        Created if need be.
    baseline: str or None
        The mechanism whose mean is the dashed line, usually ``none``.

    Returns
    -------
    list of Path
        The files written. Recipes that differ within a task and data set get figures of their
        own, told apart by eight hexadecimal digits.
    """
    drawn = [s for s in summarise(frame, baseline) if s.rows["n"].any()]
    written = []
    key = attrgetter("task", "data", "variant")
    for (task, data, variant), group in itertools.groupby(sorted(drawn, key=key), key):
        suffix = f"-{hashlib.sha256(variant.encode()).hexdigest()[:8]}" if variant else ""
        with mpl.rc_context(STYLE):
            image = figure(list(group))
            written += write(image, out / f"{task}-{data}{suffix}")
    return written


def figure(summaries: Sequence[Summary]) -> Figure:
    """Draw summaries of one task, data set and recipe as the panels of one figure."""
    columns = min(len(summaries), 2)
    rows = math.ceil(len(summaries) / columns)
    notes = textwrap.wrap(" ".join(_footnotes(summaries)), width=112 * columns)
    foot = 0.14 * len(notes) + 0.08
    size = (PANEL[0] * columns, PANEL[1] * rows + foot)
    rect = (0, foot / size[1], 1, 1 - foot / size[1])
    engine = ConstrainedLayoutEngine(rect=rect, w_pad=0.1, h_pad=0.06)
    image = Figure(figsize=size, layout=engine)
    canvas = FigureCanvasAgg(image)
    first = summaries[0]
    heading = " · ".join(filter(None, (first.task, first.data, first.metric, first.variant)))
    margin = 0.1 / size[0]
    image.suptitle(heading, fontsize=10, fontweight="bold", x=margin, ha="left")
    image.text(margin, 0.06 / size[1], "\n".join(notes), fontsize=6, color="#555555", va="bottom")
    grid = image.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(summaries) :]:
        axes.remove()
    for axes, summary in zip(grid, summaries, strict=False):
        _points(axes, summary)
    # The labels need the final place of the axes, and must not move them afterwards.
    canvas.draw()
    image.set_layout_engine("none")
    for axes, summary in zip(grid, summaries, strict=False):
        _labels(axes, summary)
    return image


def _points(axes: Axes, summary: Summary) -> None:
    rows = summary.rows[summary.rows["n"] > 0]
    unit, prefix = (1e9, "G") if rows["mechanism_macs"].max() >= 1e9 else (1e6, "M")
    below = _scale(axes, rows["mechanism_macs"], unit)
    for run in rows.itertuples():
        tone = color(run.mechanism)
        layer = 3 if tone == OTHERS else 4
        at, reach = run.mechanism_macs, run.half_width
        if not math.isnan(reach):
            # Paler than the points, or a dozen bars side by side would hide them.
            bar = axes.errorbar(at, run.mean, reach, fmt="none", ecolor=tone, elinewidth=0.8)
            for part in bar.get_children():
                part.set(alpha=0.45, zorder=2.5)
        edge: dict[str, Any] = {"markeredgecolor": "white", "markeredgewidth": 0.5}
        sign = marker(run.mechanism)
        axes.plot(at, run.mean, sign, color=tone, markersize=DOT, zorder=layer, **edge)
    base = rows.loc[rows["mechanism"] == summary.baseline, "mean"]
    for mean in base:
        axes.axhline(mean, color=color(str(summary.baseline)), lw=0.8, ls=(0, (5, 4)), zorder=1)
    reach = rows["half_width"].fillna(0)
    low, high = (rows["mean"] - reach).min(), (rows["mean"] + reach).max()
    room = 0.12 * (high - low or abs(high) or 1)
    axes.set_ylim(low - room, high + room)
    axes.grid(axis="y", color="#E6E6E6", lw=0.6)
    axes.set_axisbelow(True)
    axes.set_title(summary.sites, fontsize=8.5, loc="left", color="#444444")
    axes.set_ylabel(summary.metric)
    linear = f", logarithmic from {below / unit:g}" if below else ""
    axes.set_xlabel(f"MACs of the mechanism ({prefix}){linear}")


def _scale(axes: Axes, macs: pd.Series, unit: float) -> float:
    """Set the x axis, with zero on it; return where a logarithmic one turns linear, or zero."""
    positive = macs[macs > 0]
    if positive.empty or positive.max() <= LINEAR_SPAN * positive.min():
        high = macs.max() or unit
        axes.set_xlim(-0.05 * high, 1.12 * high)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / unit:g}")
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
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / unit:g}")
    return below


def _labels(axes: Axes, summary: Summary) -> None:
    rows = summary.rows[summary.rows["n"] > 0].sort_values(["mechanism_macs", "mean"])
    key = [color(mechanism) != OTHERS for mechanism in rows["mechanism"]]
    texts = []
    lines = []  # error bars and the dashed line: better not written over
    for run in pd.concat([rows[key], rows[~np.array(key)]]).itertuples():
        tone = color(run.mechanism)
        name = "none (w/o)" if run.mechanism == "none" else run.mechanism
        weight = "normal" if tone == OTHERS else "bold"
        # A thin stroke looks paler than a dot of the same colour.
        text_color = to_hex([0.8 * part for part in to_rgb(tone)])  # type: ignore[arg-type]
        texts.append(labels.Label(run.mechanism_macs, run.mean, name, text_color, weight))
        reach = 0.0 if math.isnan(run.half_width) else run.half_width
        ends = [(run.mechanism_macs, run.mean + side * reach) for side in (-1, 1)]
        lines.append(Box(*axes.transData.transform(ends).ravel()))
        if run.mechanism == summary.baseline:
            (left, right), y = axes.get_xlim(), run.mean
            lines.append(Box(*axes.transData.transform([(left, y), (right, y)]).ravel()))
    labels.draw(axes, texts, DOT, [line.grown(1.0) for line in lines])


def _footnotes(summaries: Sequence[Summary]) -> list[str]:
    seeds = sorted({n for s in summaries for n in s.rows["n"] if n})
    counts = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    bars = f"Bars: 95 % confidence interval over {counts} seeds."
    if seeds == [1]:
        bars = "One seed: differences between points cannot be told from noise."
    cards = dict.fromkeys(card for s in summaries for card in s.cards)
    return [f"Data: {card.rstrip('.')}." for card in cards] + [bars]
