"""The mechanisms in the order of their means, the best on top."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

from analysis.figures.drawing.page import data, page, pages
from analysis.figures.drawing.style import PANEL_TITLE, STYLE, write
from analysis.figures.kind import Kind
from analysis.stats.group import Group
from analysis.stats.metrics import axis


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``<task>-<data>-ranking.png``, ``.svg`` and ``.pdf`` of several mechanisms."""
    written = []
    for stem, heading, members in pages([group for group in groups if len(group.means) > 1]):
        with mpl.rc_context(STYLE):
            image, grid = page(heading, len(members), data(members))
            for axes, group in zip(grid, members, strict=True):
                means = group.means["mean"].sort_values(ascending=not group.metric.higher_is_better)
                axes.barh(means.index[::-1], means[::-1], color="#0072B2")
                axes.set_xlabel(axis(group.metric))
                axes.set_title(group.sites, **PANEL_TITLE)
            written += write(image, out / f"{stem}-ranking")
    return written


RANKING = Kind("Ranking", "two mechanisms at the same sites", draw, rank=90)
