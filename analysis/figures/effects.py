"""What each term brings: main effects above, two-way interactions below, one panel per group.

The same effects give the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from analysis.figures.drawing.page import GREY, page, title_panel
from analysis.figures.drawing.style import STYLE, gridlines, write
from analysis.figures.drawing.ticks import InUnit
from analysis.figures.kind import Kind
from analysis.stats.effects import LEVEL, MEANINGS, MODULE, Effects, effects
from analysis.stats.group import Group
from analysis.stats.metrics import axis, fine

__all__ = ["EFFECTS", "draw", "figure"]

GAIN, LOSS, UNSURE = "#0072B2", "#D55E00", "#8C8C8C"  # of Okabe and Ito, and grey
PANEL = (5.4, 3.7)  # width and height in inches
LEAST = 3.0  # of height, for eleven rows
LEFT = 1.5  # inches for the names of the terms
GAP = 0.7  # between main effects and interactions, in rows

HEADING = "What each term brings"
NOTE = (
    "Main effect: mean with the term minus mean without it, over all settings of the other three. "
    "Interaction: half of what the effect of one term gains when the other is there; {side} zero, "
    "each is worth less beside the other. Lines: 95 % intervals, each by itself, from the scatter "
    f"of seeds. Filled: told from zero at {LEVEL:.0%} after Holm's correction for the ten effects."
)


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``effects.png``, ``.svg`` and ``.pdf`` if a group has enough term sets."""
    found = effects(groups)
    if not found:
        return []
    with mpl.rc_context(STYLE):
        return write(figure(found), out / "effects")


def figure(found: Sequence[Effects]) -> Figure:
    """Draw effects side by side; call it within `analysis.figures.drawing.style.STYLE`."""
    shown = "; ".join(factorial.group.title for factorial in found)
    caption = f"{HEADING}, main effects and two-way interactions: {shown}."
    image, grid = page(HEADING, len(found), _notes(found), PANEL, caption=caption, least=LEAST)
    for axes, factorial in zip(grid, found, strict=True):
        _panel(axes, factorial)
    higher = _higher(found)
    signs = [
        (GAIN, GAIN, "raises the metric" if higher else "makes the metric better"),
        (LOSS, LOSS, "lowers it" if higher else "makes it worse"),
        (UNSURE, "white", "not told from zero"),
    ]
    image.legend(
        handles=[
            Line2D([], [], color=edge, marker="o", markerfacecolor=face, lw=1.4, label=label)
            for edge, face, label in signs
        ],
        loc="outside upper right",
        ncols=3,
        columnspacing=1.2,
        handlelength=1.6,
        handletextpad=0.4,
        frameon=False,
        fontsize=7,
    )
    return image


def _panel(axes: Axes, factorial: Effects) -> None:
    rows, metric = factorial.rows, factorial.group.metric
    heights = _heights(rows)
    aside = blended_transform_factory(axes.transAxes, axes.transData)
    for row, height in zip(rows.itertuples(index=False), heights, strict=True):
        p = row.p if row.kind == MODULE else row.holm
        sure = not math.isnan(p) and p < LEVEL
        tone = (GAIN if metric.better(row.effect, 0) else LOSS) if sure else UNSURE
        if not math.isnan(row.low):
            axes.plot([row.low, row.high], [height] * 2, color=tone, lw=1.6, solid_capstyle="butt")
        axes.plot(row.effect, height, "o", color=tone, markersize=5.5,
                  markerfacecolor=tone if sure else "white")  # fmt: skip
        text = fine(metric, row.effect, signed=True)
        axes.text(
            *(1.01, height, text),
            transform=aside,
            fontsize=7,
            va="center",
            color=tone if sure else GREY,
            fontweight="bold" if sure else "normal",
        )
    axes.axvline(0, color="#444444", lw=0.8, zorder=1)
    for kind in ("main", "interaction"):
        first = heights[list(rows["kind"]).index(kind)]
        axes.axhline(first + 0.5 + GAP / 2, color="#DDDDDD", lw=0.6, zorder=0)
    names = [f"{MEANINGS[name]}  {name}" if name in MEANINGS else name for name in rows["name"]]
    names = [MEANINGS[MODULE] if name.endswith(MODULE) else name for name in names]
    axes.set_yticks(heights, names, fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(min(heights) - 0.7, max(heights) + 0.7)
    gridlines(axes, "x")
    axes.spines["left"].set_visible(False)
    axes.set_xlabel(f"effect on {axis(metric)}")
    axes.xaxis.set_major_formatter(InUnit(metric.point))
    title_panel(axes, factorial.group.title, LEFT)


def _heights(rows: pd.DataFrame) -> list[float]:
    """Rows from the top: all term sets against none, the terms, their pairs; a gap between."""
    order = {MODULE: 0, "main": 1, "interaction": 2}
    ranked = rows["kind"].map(order)
    place = ranked.argsort(kind="stable").argsort(kind="stable")
    first = ranked.min()
    return [float(-(p + GAP * (r - first))) for p, r in zip(place, ranked, strict=True)]


def _notes(found: Sequence[Effects]) -> list[str]:
    runs = [f"{e.n} runs of {len(e.words)} term sets ({e.group.sites})" for e in found]
    told = [note for e in found for note in e.notes]
    starts = ("one seed: ", "missing: ", "data: ")
    others = [note for start in starts for note in told if note.startswith(start)]
    sentences = [f"{note[0].upper()}{note[1:].rstrip('.')}." for note in others]
    side = "below" if _higher(found) else "on the worse side of"
    return [NOTE.format(side=side), f"{'; '.join(runs)}.", *dict.fromkeys(sentences)]


def _higher(found: Sequence[Effects]) -> bool:
    """Whether higher is better in all of them."""
    return all(factorial.group.metric.higher_is_better for factorial in found)


EFFECTS = Kind("Effects of the four terms", "most of the 16 term sets", draw, rank=30)
