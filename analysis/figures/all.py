"""Every kind of figure that a runs table allows."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from analysis.figures import accuracy_cost, curves
from analysis.figures import effects as effect_figures
from analysis.figures.groups import groups
from analysis.figures.panel import MACS, TIME
from analysis.paper import deformable, overview, ranges
from analysis.stats.effects import effects

__all__ = ["NEEDS", "draw_all"]

NEEDS = {
    "overview": "a finished run of detection, segmentation or translation with known MACs",
    "cost": "a finished run with known MACs",
    "effects": "most of the 16 term sets",
    "time": "a finished run with a known time",
    "deformable": "a mechanism with +deformable",
    "range": "dynamic and 0100, with or without a range",
    "curves": "runs that were evaluated while they trained",
}
"""Kinds of figures, and what each of them cannot be drawn without."""


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
        The kinds of `NEEDS`, in that order, and the files of each: PNG, SVG and PDF, and the
        Markdown tables of the comparisons. Empty lists where the runs do not suffice.

    Raises
    ------
    StudyError
        As `analysis.stats.summary.summarise` does.
    """
    # The same runs in another order are the same figures.
    frame = frame.sort_values("id", kind="stable", ignore_index=True)
    found = groups(frame, baseline)
    summaries = [summary for summary, _ in found]
    factorial = effects(frame)
    return {
        "overview": overview.draw(summaries, out),
        "cost": accuracy_cost.draw(summaries, out, MACS),
        "effects": effect_figures.draw(factorial, out / "effects") if factorial else [],
        "time": accuracy_cost.draw(summaries, out, TIME),
        "deformable": deformable.draw(found, out),
        "range": ranges.draw(found, out),
        "curves": curves.draw(found, out),
    }
