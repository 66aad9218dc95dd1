"""Every kind of figure that is registered and that a runs table allows."""

from __future__ import annotations

import functools
from importlib.metadata import entry_points
from pathlib import Path

import pandas as pd

from analysis.figures.kind import Kind
from analysis.stats.group import groups
from study.errors import StudyError

__all__ = ["draw_all", "kinds"]


@functools.cache
def kinds() -> dict[str, Kind]:
    """Return the kinds of figures by name, those of other distributions included.

    Raises
    ------
    StudyError
        If an entry point names something else.
    """
    found = {}
    for entry in entry_points(group="study.figures"):
        kind = entry.load()
        if not isinstance(kind, Kind):
            raise StudyError(f"{entry.value}, the figure {entry.name!r}, is no Kind of figure")
        found[entry.name] = kind
    return dict(sorted(found.items(), key=lambda item: (item[1].rank, item[0])))


def draw_all(frame: pd.DataFrame, out: Path, baseline: str | None) -> dict[str, list[Path]]:
    """Draw all kinds of figures.

    Parameters
    ----------
    frame: pandas.DataFrame
        The runs table; only finished runs are drawn.
    out: Path
        Folder to write into; created if need be.
    baseline: str or None
        The mechanism whose mean is the dashed line, usually ``none``.

    Returns
    -------
    dict of str to list of Path
        The files of each of `kinds`: PNG, SVG and PDF, and the Markdown tables of the comparisons.
        Empty lists where the runs do not suffice.

    Raises
    ------
    StudyError
        As `analysis.stats.group.groups` does.
    """
    # The same runs in another order give the same figures.
    frame = frame.sort_values("id", kind="stable", ignore_index=True)
    found = [group for group in groups(frame, baseline) if len(group.done)]
    return {name: kind.draw(found, out) for name, kind in kinds().items()}
