"""What a kind of figure is: found by the entry point ``study.figures``, here or in your package."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from analysis.stats.group import Group

__all__ = ["Kind"]


@dataclass(frozen=True)
class Kind:
    """A kind of figure. Its name is that of the entry point.

    Parameters
    ----------
    title: str
        Heads the figures in the report.
    needs: str
        What the figures cannot do without, in words that follow "it needs".
    draw: callable
        ``draw(groups, out)`` writes files into the folder `out`, which it creates if need be, and
        returns their paths. All groups have finished runs; it returns no path if they do not
        suffice. The report shows the SVG of each, with the text file of that name as caption:
        what it shows on the first line, then a note a line. Colours, pages and panels are in
        `analysis.figures.drawing`, and the form that is asked for.
    rank: int
        Order among all kinds, the lowest first; equal ones by name.
    together: bool
        Whether what several grids show belongs into one figure: a report on several has it once.
    """

    title: str
    needs: str
    draw: Callable[[Sequence[Group], Path], list[Path]]
    rank: int = 100
    together: bool = False
