"""How likely so many seeds support a claim that is true: a small panel for each claim."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.page import GREY, page
from analysis.figures.drawing.style import PANEL_TITLE, STYLE, gridlines, write
from analysis.stats.seeds import SHOWN, Plan
from analysis.stats.verdicts import POWER
from analysis.tables.seeds import margins, tests
from study.errors import StudyError

__all__ = ["draw", "figure"]

ENOUGH, TOO_FEW = "#0072B2", "#D55E00"  # of Okabe and Ito
PANEL = (1.9, 1.55)  # width and height in inches
ACROSS = 4


def draw(plans: Sequence[Plan], gain: float, path: Path) -> Path:
    """Write the figure into a file, whose ending is its format.

    Raises
    ------
    StudyError
        If no claim has a test of accuracy that the grid can make.
    """
    shown = [plan for plan in plans if plan.chances]
    if not shown:
        raise StudyError(f"nothing to draw into {path}: no claim needs seeds")
    with mpl.rc_context(STYLE):
        written, _ = write(figure(shown, gain), path.with_suffix(""), [path.suffix[1:]])
    return written


def figure(plans: Sequence[Plan], gain: float) -> Figure:
    """Draw claims; call it within `analysis.figures.drawing.style.STYLE`."""
    groups = list(dict.fromkeys(plan.group for plan in plans))
    one = groups[0].title if len(groups) == 1 else "several groups"
    scatters = {
        f"sd {p.scatter.sd:.3g} {p.group.metric.name}, margin {p.unit:g}": None for p in plans
    }
    notes = [
        f"{'; '.join(scatters)}.",
        f"Equivalences are exact; each other contrast lies {margins(gain)} inside its bound.",
        "Dot: the planned seeds, orange where they have less than the 80 % of the dashed line.",
    ]
    heading = f"Chance that a true claim is supported · {one}"
    caption = f"Chance that a true claim is supported, by the number of seeds: {one}"
    image, grid = page(heading, len(plans), notes, PANEL, ACROSS, caption=caption)
    for place, (axes, plan) in enumerate(zip(grid, plans, strict=True)):
        _panel(axes, plan, len(groups) > 1)
        if place % ACROSS:
            axes.tick_params(labelleft=False)
        if place + ACROSS >= len(plans):
            axes.set_xlabel("seeds", fontsize=7)
    return image


def _panel(axes: Axes, plan: Plan, named: bool) -> None:
    numbers = sorted(plan.chances)
    planned = plan.planned
    axes.plot(numbers, [plan.chances[n] for n in numbers], color=ENOUGH, lw=1.4)
    axes.axhline(POWER, color=GREY, lw=0.7, ls=(0, (5, 4)), zorder=1)
    tone = ENOUGH if plan.chances[planned] >= POWER else TOO_FEW
    axes.plot(
        planned, plan.chances[planned], "o", color=tone, markersize=5, zorder=3, clip_on=False
    )
    axes.set_ylim(0, 1.02)
    axes.set_yticks([0, 0.5, 1], ["0 %", "50 %", "100 %"], fontsize=7)
    ticks = [n for n in sorted({*SHOWN, planned}) if n not in (3, 2) or n == planned] or [planned]
    axes.set_xticks(ticks, [str(n) for n in ticks], fontsize=7)
    gridlines(axes)
    size = len(plan.group.seeds)
    where = f"\n{plan.group.sites}, {size} mechanisms" if named else ""
    style = PANEL_TITLE | {"fontsize": 7.5}
    axes.set_title(f"{plan.claim.id}   {tests(plan)}{where}", **style)
