"""The page that a figure stands on: a heading, panels, and notes at the foot, nothing clipped.

What a figure says of itself is also its caption, which `analysis.figures.drawing.style.write` puts
into a file beside it.
"""

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

from analysis.figures.drawing.form import form
from analysis.figures.drawing.style import PANEL_TITLE
from analysis.stats.group import Group, title

__all__ = [
    *("GREY", "PANEL", "add_note", "bars", "data", "filled", "fitted", "page", "pages"),
    *("settle", "title_panel", "where"),
]

PANEL = (5.4, 4.1)  # width and height in inches
GREY = "#555555"
NARROWEST = 2.6  # inches of a panel that stands beside another
NOTE_SIZE = 6.0  # of the notes, in typographic points
READABLE = 7.0  # where a figure has its final width, nothing is smaller
HEADING_SIZE = 10.0
HINTED = 0.98  # width of a text as an outline over its width in pixels, at least
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
    *,
    caption: str = "",
    least: float = 0.0,
) -> tuple[Figure, list[Axes]]:
    """Return a figure with a heading, panels, and notes at the foot.

    In the `form` that is asked for: of a width, so narrow that panels stand below each other, or
    without heading and notes.

    Parameters
    ----------
    heading: str
        Broken into lines if it is longer than the figure is wide.
    panels: int
        How many axes to make.
    notes: sequence of str
        Sentences.
    size: (float, float)
        Width and height of a panel in inches; another width changes the height likewise.
    most: int
        How many panels a row has at most.
    caption: str
        What the figure shows, in words: the first line of the caption, before the notes; the
        heading by default.
    least: float
        Inches of height that a panel needs however narrow it is.
    """
    asked = form()
    columns = min(panels, most)
    width = size[0] * columns
    if asked.width is not None:
        width = asked.width
        columns = max(1, min(columns, int(width // NARROWEST)))
    rows = math.ceil(panels / columns)
    tall = max(size[1] * width / columns / size[0], least)
    small = NOTE_SIZE if asked.width is None else READABLE
    lines, titles = [], []
    if not asked.plain:
        lines = filled(" ".join(notes), width - 2 * MARGIN, small)
        titles = filled(heading, width - 2 * MARGIN, HEADING_SIZE, "bold")
    foot = 1.4 * small / 72 * len(lines) + (0.12 if lines else 0.0)
    height = tall * rows + foot + 1.3 * HEADING_SIZE / 72 * max(len(titles) - 1, 0)
    rect = (0, foot / height, 1, 1 - foot / height)
    pad = 0.1 if asked.width is None else 0.03
    engine = ConstrainedLayoutEngine(rect=rect, w_pad=pad, h_pad=min(pad, 0.06))
    image = Figure(figsize=(width, height), layout=engine)
    FigureCanvasAgg(image)
    image.set_label("\n".join([caption or heading, *notes]))
    margin = MARGIN / width
    if not asked.plain:
        head = {"fontsize": HEADING_SIZE, "fontweight": "bold", "x": margin, "ha": "left"}
        image.suptitle("\n".join(titles), **head)
        image.text(margin, 0.06 / height, "\n".join(lines), fontsize=small, color=GREY, va="bottom")
    grid = list(image.subplots(rows, columns, squeeze=False).ravel())
    for axes in grid[panels:]:
        axes.remove()
    return image, grid[:panels]


def title_panel(axes: Axes, text: str, left: float = 0.6) -> None:
    """Write what a panel shows above it, unless it is the only one of a figure that is to be plain.

    `left` is where the axes begin, in inches from the panel's edge: lines are broken to fit.
    """
    if form().plain and len(axes.figure.axes) == 1:
        return
    axes.set_title(fitted(axes, text, left), **PANEL_TITLE)


def fitted(axes: Axes, text: str, left: float = 0.6) -> str:
    """Break the lines of a title or of the name of an x axis to the width of the panel."""
    spec = axes.get_subplotspec()
    assert spec is not None
    room = axes.figure.bbox.width / axes.figure.dpi / spec.get_gridspec().ncols - left - MARGIN
    size = PANEL_TITLE["fontsize"]
    return "\n".join(line for each in text.split("\n") for line in filled(each, room, size))


def add_note(image: Figure, sentence: str) -> None:
    """Add a sentence that only the finished drawing can tell, to the caption alone."""
    image.set_label(f"{image.get_label()}\n{sentence}")


def where(groups: Sequence[Group]) -> str:
    """Say in words which runs a figure shows, one a panel."""
    first, *_ = groups
    sites = " and ".join(filter(None, (group.sites for group in groups)))
    parts = [f"{first.task} on {first.data}", f"at {sites}" if sites else "", first.variant]
    return ", ".join(filter(None, parts))


def filled(text: str, width: float, size: float, weight: str = "normal") -> list[str]:
    """Break a text of a size in typographic points into lines that fit into `width` inches."""
    font = FontProperties(size=size, weight=weight)
    room = 72 * width * HINTED
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


def bars(groups: Sequence[Group]) -> list[str]:
    """Say what the error bars and the small dots are, or why there are none."""
    seeds = sorted({n for group in groups for n in group.seeds.values()})
    if seeds == [1]:
        return ["One seed: differences between points cannot be told from noise."]
    many = [n for n in seeds if n > 1]
    counts = f"{many[0]} to {many[-1]}" if len(many) > 1 else f"{many[0]}"
    said = [f"Large signs: means over {counts} seeds; small dots: the seeds."]
    reach = [reach for group in groups for reach in group.reach.values()]
    if all(map(math.isnan, reach)):
        return [*said, "No bars: without a second mechanism of these seeds there is no interval."]
    lacking = "; no bar: one seed" if 1 in seeds else ""
    return [
        *said,
        "Bars: 95 % interval of the mean by the model that also gives differences, effects and "
        "verdicts: from the scatter of all mechanisms over seeds, or the mechanism's own where it "
        f"is larger. Luck that a seed brings to all of them alike is left out{lacking}.",
    ]


def data(groups: Iterable[Group]) -> list[str]:
    """The data cards, a sentence each."""
    cards = dict.fromkeys(card for group in groups for card in group.cards)
    return [f"Data: {card.rstrip('.')}." for card in cards]
