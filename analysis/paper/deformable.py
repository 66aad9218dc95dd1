"""Deformable convolution against E2: both let the query choose positions, at different cost.

The members of a family share the other terms. They add nothing to these, or E2, or deformable
convolution, or both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.figures.drawing import panel
from analysis.figures.drawing.boxes import Box
from analysis.figures.drawing.page import bars, data, page, settle, title_panel, where
from analysis.figures.drawing.panel import MACS
from analysis.figures.kind import Kind
from analysis.paper import comparison
from analysis.stats.group import Group

__all__ = ["DEFORMABLE", "draw", "figure", "rows"]

SUFFIX = "+deformable"
FAMILIES = ("none", "0010", "1011")
"""Other terms that are shown even if only E2 was added to them; the rest are shown if both were."""

ADDED = ("neither", "E2", "deformable", "both")
LINES = {"E2": ("-", "#0072B2", "E2 added"), "deformable": ("--", "#D55E00", "deformable added")}

STEPS = 60  # spots of a line that no label should cover


@dataclass(frozen=True)
class _Line:
    added: str
    x: list[float]
    y: list[float]


def rows(group: Group) -> pd.DataFrame:
    """Return the rows of the comparison.

    Returns
    -------
    pandas.DataFrame
        ``others`` (the terms besides E2), ``added`` (one of ``neither``, ``E2``, ``deformable``,
        ``both``), ``mechanism``, ``n``, ``mean``, ``half_width``, ``mechanism_macs``, and
        ``difference`` and ``difference_half_width`` to the row of E2. Empty if no mechanism has
        deformable convolution.
    """
    there = set(panel.drawn(group, MACS)["mechanism"])
    deformable = sorted(m.removesuffix(SUFFIX) for m in there if m.endswith(SUFFIX))
    bases = [base for word in deformable if (base := _without_e2(word))]
    families = list(dict.fromkeys([*FAMILIES, *bases])) if bases else []
    found = []
    for family in families:
        words = _family(family)
        for added, mechanism in words.items():
            if mechanism in there:
                place = {"others": family, "added": added}
                found.append(place | comparison.row(group, mechanism, words["E2"]))
    return pd.DataFrame(found, columns=["others", "added", *comparison.COLUMNS])


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``<task>-<data>-deformable`` as figure and as ``.md``, for groups that have rows."""
    front = {"others": str, "added": str}
    return comparison.draw(groups, out, "deformable", rows, figure, front, "E2")


def figure(compared: Sequence[tuple[Group, pd.DataFrame]], heading: str) -> Figure:
    """Draw a panel a group: its rows as accuracy against cost, with lines between its rows."""
    groups = [group for group, _ in compared]
    notes = [
        *data(groups),
        *bars(groups),
        *panel.beyond_note([(group, [*table["mechanism"]]) for group, table in compared], MACS),
        "Lines lead from a mechanism to the same with E2 or with deformable convolution.",
    ]
    image, grid = page(
        f"Deformable convolution against E2 · {heading}",
        len(compared),
        notes,
        caption=f"{groups[0].metric.name} of deformable convolution and of E2 against {MACS.name}: "
        f"{where(groups)}.",
    )
    for axes, (group, table) in zip(grid, compared, strict=True):
        panel.points(axes, group, MACS, pareto=False, only=[*table["mechanism"]])
        for line in _lines(table):
            style, tone, _ = LINES[line.added]
            axes.plot(line.x, line.y, ls=style, color=tone, lw=1.1, alpha=0.7, zorder=2)
        title_panel(axes, group.sites)
    used = {line.added for _, table in compared for line in _lines(table)}
    handles = [
        Line2D([], [], ls=style, color=tone, lw=1.1, label=label)
        for added, (style, tone, label) in LINES.items()
        if added in used
    ]
    if handles:
        grid[0].legend(
            handles=handles, frameon=False, fontsize=7, ncols=2, loc="lower right",
            bbox_to_anchor=(1, 1), borderaxespad=0.2,
        )  # fmt: skip
    settle(image)
    for axes, (group, table) in zip(grid, compared, strict=True):
        clear = []
        for line in _lines(table):
            # For a slanting line, labels avoid what it crosses, not its whole bounding box.
            begin, end = axes.transData.transform(list(zip(line.x, line.y, strict=True)))
            spots = np.linspace(begin, end, STEPS).tolist()
            clear += [Box(*spot, *spot).grown(2.0) for spot in spots]
        panel.names(axes, group, MACS, clear, [*table["mechanism"]])
    return image


def _lines(table: pd.DataFrame) -> list[_Line]:
    found = []
    for _, family in table.groupby("others", sort=False):
        by_added = family.set_index("added")
        for start, added, end in (
            ("neither", "E2", "E2"),
            ("neither", "deformable", "deformable"),
            ("E2", "deformable", "both"),
            ("deformable", "E2", "both"),
        ):
            if {start, end} <= set(by_added.index):
                ends = by_added.loc[[start, end]]
                found.append(_Line(added, ends["mechanism_macs"].tolist(), ends["mean"].tolist()))
    return found


def _family(others: str) -> dict[str, str]:
    """The mechanisms of a family, by what is added."""
    with_e2 = "0100" if others == "none" else f"{others[0]}1{others[2:]}"
    return dict(
        zip(ADDED, (others, with_e2, f"{others}{SUFFIX}", f"{with_e2}{SUFFIX}"), strict=True)
    )


def _without_e2(base: str) -> str | None:
    """The family of a mechanism without its suffix; None for what is no set of terms."""
    if base in ("none", "0100"):
        return "none"
    if len(base) == 4 and set(base) <= {"0", "1"}:
        return f"{base[0]}0{base[2:]}"
    return None


DEFORMABLE = Kind(
    "Deformable convolution against E2", "a mechanism with +deformable", draw, rank=50
)
