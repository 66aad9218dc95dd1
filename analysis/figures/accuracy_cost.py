"""Accuracy against cost, in MACs or in seconds: a figure per task and data, a panel per sites.

The same runs give the same bytes: nothing in a figure depends on the time, the display or chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from analysis.figures import panel
from analysis.figures.page import bars, data, page, pages, settle
from analysis.figures.panel import MACS, TIME, Cost
from analysis.figures.style import PANEL_TITLE, STYLE, write
from analysis.stats.summary import Summary

__all__ = ["draw", "figure", "notes"]

CLOCK = (
    "Time: wall time from start to result, over all attempts, evaluations included; it depends on "
    "the machine and on what else ran there."
)


def draw(summaries: Sequence[Summary], out: Path, cost: Cost = MACS) -> list[Path]:
    """Write ``<task>-<data>.png``, ``.svg`` and ``.pdf`` into the folder `out`.

    Parameters
    ----------
    summaries: sequence of Summary
        Those in which no mechanism has both a mean and a cost are left out. The mean of a
        summary's baseline, usually ``none``, is the dashed line.
    out: Path
        Created if need be.
    cost: Cost
        `MACS`, or `TIME` into files whose names end in ``-time``.

    Returns
    -------
    list of Path
        The files written. Recipes that differ within a task and data set get figures of their
        own, told apart by eight hexadecimal digits.
    """
    written = []
    shown = [summary for summary in summaries if len(panel.drawn(summary, cost))]
    for name, heading, group in pages(shown):
        with mpl.rc_context(STYLE):
            image = figure(group, heading, cost)
            written += write(image, out / (f"{name}-time" if cost == TIME else name))
    return written


def figure(summaries: Sequence[Summary], heading: str, cost: Cost = MACS) -> Figure:
    """Draw summaries of one task, data set and recipe as the panels of one figure."""
    image, grid = page(heading, len(summaries), notes(summaries, cost))
    for axes, summary in zip(grid, summaries, strict=True):
        panel.points(axes, summary, cost)
        axes.set_title(summary.sites, **PANEL_TITLE)
    settle(image)
    for axes, summary in zip(grid, summaries, strict=True):
        panel.names(axes, summary, cost)
    return image


def notes(summaries: Sequence[Summary], cost: Cost) -> list[str]:
    """What a reader must know to read such panels, a sentence each."""
    sentences = [*data(summaries), bars(summaries), panel.FRONT]
    dashed = sorted(
        {str(s.baseline) for s in summaries if s.baseline in panel.drawn(s, cost).mechanism.values}
    )
    if dashed:
        sentences.append(f"Dashed: mean of {' or '.join(dashed)}.")
    apart = [f"{', '.join(found)} ({s.sites})" for s in summaries if (found := _other_seeds(s))]
    if apart:
        sentences.append(
            f"Over other seeds than the baseline, so see the table's Δ: {'; '.join(apart)}."
        )
    if cost == TIME:
        sentences.append(CLOCK)
    lacking = [
        mechanism
        for s in summaries
        for mechanism in s.rows.loc[(s.rows["n"] > 0) & s.rows[cost.column].isna(), "mechanism"]
    ]
    if lacking:
        sentences.append(f"Not drawn, for its {cost.name} is unknown: {', '.join(lacking)}.")
    return sentences


def _other_seeds(summary: Summary) -> list[str]:
    """Name the mechanisms whose mean is over other seeds than that of the baseline."""
    rows = summary.rows[summary.rows["n"] > 0]
    base = rows[(rows["mechanism"] == summary.baseline) & (rows["pairs"] == rows["n"])]
    if base.empty:  # or the pairs are those with another baseline
        return []
    same = (rows["pairs"] == rows["n"]) & (rows["n"] == base["n"].iloc[0])
    return rows.loc[~same, "mechanism"].tolist()
