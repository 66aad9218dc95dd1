"""Accuracy against cost: MACs, parameters or time; a figure per task and data, a panel per sites.

The same runs give the same bytes: nothing in a figure depends on the time, the display or chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing import panel
from analysis.figures.drawing.page import (
    add_note,
    bars,
    data,
    page,
    pages,
    settle,
    title_panel,
    where,
)
from analysis.figures.drawing.panel import MACS, PARAMETERS, TIME, Cost
from analysis.figures.drawing.style import STYLE, write
from analysis.figures.kind import Kind
from analysis.stats.group import Group

__all__ = ["BY_MACS", "BY_PARAMETERS", "BY_TIME", "draw", "figure", "name_points", "notes"]

CLOCK = (
    "Time: wall time from start to result, over all attempts, evaluations included; it depends on "
    "the machine and on what else ran there."
)


def draw(groups: Sequence[Group], out: Path, cost: Cost = MACS) -> list[Path]:
    """Write ``<task>-<data>.png``, ``.svg`` and ``.pdf`` into the folder `out`.

    Parameters
    ----------
    groups: sequence of Group
        Groups are left out if no mechanism has both a mean and a cost. The mean of a group's
        baseline, usually ``none``, is the dashed line.
    out: Path
        Created if need be.
    cost: Cost
        Files of another than `MACS` have its suffix in their names.

    Returns
    -------
    list of Path
        The files written. Different recipes of one task and data set get figures of their own, with
        eight hexadecimal digits in the name.
    """
    written = []
    shown = [group for group in groups if len(panel.drawn(group, cost))]
    for name, heading, members in pages(shown):
        with mpl.rc_context(STYLE):
            image = figure(members, heading, cost)
            written += write(image, out / f"{name}{cost.suffix}")
    return written


def figure(groups: Sequence[Group], heading: str, cost: Cost = MACS) -> Figure:
    """Draw groups of one task, data set and recipe as the panels of one figure."""
    caption = f"{groups[0].metric.name} against {cost.name}: {where(groups)}."
    image, grid = page(heading, len(groups), notes(groups, cost), caption=caption)
    for axes, group in zip(grid, groups, strict=True):
        panel.points(axes, group, cost)
        title_panel(axes, group.sites)
    settle(image)
    name_points(image, grid, groups, cost)
    return image


def name_points(image: Figure, grid: Sequence[Axes], groups: Sequence[Group], cost: Cost) -> None:
    """Write names beside the points of all panels; the caption has those that find no room."""
    left_out = []
    for axes, group in zip(grid, groups, strict=True):
        if words := panel.names(axes, group, cost):
            left_out.append(f"{', '.join(words)} ({group.sites})")
    if left_out:
        add_note(image, f"Drawn without a name, for want of room: {'; '.join(left_out)}.")


def notes(groups: Sequence[Group], cost: Cost) -> list[str]:
    """What a reader must know to read such panels, a sentence each."""
    sentences = [*data(groups), *bars(groups), *panel.front_note(groups, cost)]
    sentences += panel.beyond_note([(group, None) for group in groups], cost)
    dashed = sorted(
        {str(g.baseline) for g in groups if g.baseline in panel.drawn(g, cost).mechanism.values}
    )
    if dashed:
        sentences.append(f"Dashed: mean of {' or '.join(dashed)}.")
    apart = [f"{', '.join(found)} ({g.sites})" for g in groups if (found := _other_seeds(g))]
    if apart:
        sentences.append(
            f"Over other seeds than the baseline, so see the table's Δ: {'; '.join(apart)}."
        )
    if cost == TIME:
        sentences.append(CLOCK)
    lacking = [
        mechanism
        for group in groups
        for mechanism in group.means.index[group.means[cost.column].isna()]
    ]
    if lacking:
        sentences.append(f"Not drawn, for its {cost.name} is unknown: {', '.join(lacking)}.")
    return sentences


def _other_seeds(group: Group) -> list[str]:
    """Name the mechanisms whose mean is over other seeds than the baseline's."""
    base = group.seeds.get(str(group.baseline))
    rows = group.rows[group.rows["n"] > 0]
    same = (rows["pairs"] == rows["n"]) & (rows["n"] == base)
    return [] if base is None else rows.loc[~same, "mechanism"].tolist()


BY_MACS = Kind("Accuracy against cost, one by one", "a finished run with known MACs", draw, rank=20)
BY_PARAMETERS = Kind(
    "Accuracy against parameters",
    "a finished run with a known number of parameters",
    partial(draw, cost=PARAMETERS),
    rank=45,
)
BY_TIME = Kind(
    "Accuracy against measured time",
    "a finished run with a known time",
    partial(draw, cost=TIME),
    rank=40,
)
