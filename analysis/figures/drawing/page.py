"""The page that a figure stands on: a heading, panels, and notes at the foot, nothing clipped."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from operator import attrgetter

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.textpath import text_to_path

from analysis.stats.group import Group, title

__all__ = ["GREY", "PANEL", "bars", "data", "page", "pages", "settle"]

PANEL = (5.4, 4.1)  # width and height in inches
GREY = "#555555"
NOTE_SIZE = 6.0  # of the notes, in typographic points
HEADING_SIZE = 10.0
MARGIN = 0.1  # on both sides of heading and notes, in inches


def pages(groups: Sequence[Group]) -> Iterator[tuple[str, str, list[Group]]]:
    """Sort groups into figures, one per task, data set and recipe.

    Yields
    ------
    tuple of str, str, list of Group
        File name without suffix, heading, and groups: one per sites. Different recipes of one task
        and data set have eight hexadecimal digits in the name.
    """
    key = attrgetter("task", "data", "variant")
    for (task, data, variant), found in itertools.groupby(sorted(groups, key=key), key):
        suffix = f"-{hashlib.sha256(variant.encode()).hexdigest()[:8]}" if variant else ""
        members = list(found)
        heading = title(task, data, members[0].metric.name, variant)
        yield f"{task}-{data}{suffix}", heading, members


def page(
    heading: str,
    panels: int,
    notes: Sequence[str],
    size: tuple[float, float] = PANEL,
    most: int = 2,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a heading, panels, and notes at the foot.

    Parameters
    ----------
    heading: str
        Broken into lines if it is longer than the figure is wide.
    panels: int
        How many axes to make.
    notes: sequence of str
        Sentences.
    size: (float, float)
        Width and height of a panel in inches.
    most: int
        How many panels a row has.
    """
    columns = min(panels, most)
    rows = math.ceil(panels / columns)
    width = size[0] * columns
    lines = _filled(" ".join(notes), width, FontProperties(size=NOTE_SIZE))
    foot = 1.4 * NOTE_SIZE / 72 * len(lines) + 0.12
    titles = _filled(heading, width, FontProperties(size=HEADING_SIZE, weight="bold"))
    height = size[1] * rows + foot + 1.3 * HEADING_SIZE / 72 * (len(titles) - 1)
    rect = (0, foot / height, 1, 1 - foot / height)
    engine = ConstrainedLayoutEngine(rect=rect, w_pad=0.1, h_pad=0.06)
    image = Figure(figsize=(width, height), layout=engine)
    FigureCanvasAgg(image)
    margin = MARGIN / width
    image.suptitle("\n".join(titles), fontsize=HEADING_SIZE, fontweight="bold", x=margin, ha="left")
    image.text(margin, 0.06 / height, "\n".join(lines), fontsize=NOTE_SIZE, color=GREY, va="bottom")
    grid = list(image.subplots(rows, columns, squeeze=False).ravel())
    for axes in grid[panels:]:
        axes.remove()
    return image, grid[:panels]


def _filled(text: str, width: float, font: FontProperties) -> list[str]:
    """Break a text into lines that fit on a page of `width` inches."""
    room = 72 * (width - 2 * MARGIN)
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_to_path.get_text_width_height_descent(longer, font, False)[0] <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def settle(image: Figure) -> None:
    """Give the axes their final position: labels need it, and must not move them afterwards."""
    image.draw_without_rendering()
    # Not "none", a placeholder that would make savefig draw twice.
    image.set_layout_engine(None)


def bars(groups: Iterable[Group]) -> str:
    """Say what the error bars are, or why there are none."""
    seeds = sorted({n for group in groups for n in group.seeds.values()})
    if seeds == [1]:
        return "One seed: differences between points cannot be told from noise."
    many = [n for n in seeds if n > 1]
    counts = f"{many[0]} to {many[-1]}" if len(many) > 1 else f"{many[0]}"
    alone = "; no bar: one seed" if 1 in seeds else ""
    return f"Bars: 95 % confidence interval over {counts} seeds (Student's t){alone}."


def data(groups: Iterable[Group]) -> list[str]:
    """The data cards, a sentence each."""
    cards = dict.fromkeys(card for group in groups for card in group.cards)
    return [f"Data: {card.rstrip('.')}." for card in cards]
