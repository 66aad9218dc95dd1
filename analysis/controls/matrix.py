"""What an answer needs against what attends: a row a control, a column a mechanism."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.transforms import ScaledTranslation

from analysis.controls.rows import (
    ANSWERS,
    LOOKS,
    WITHOUT,
    Row,
    View,
    block,
    in_order,
    pages,
)
from analysis.figures.drawing.form import form
from analysis.figures.drawing.page import GREY, data, page
from analysis.figures.drawing.style import STYLE, write
from analysis.figures.kind import Kind
from analysis.stats.effects import TERM_SETS, TERMS
from analysis.stats.group import Group
from plugins.contracts.metric import Metric

__all__ = ["MATRIX", "draw", "figure"]

COLORS = LinearSegmentedColormap.from_list(
    "from chance", ["#F2F4F5", "#A9CBE2", "#4A93C4", "#0B5A94", "#082F4E"]
)
"""Ever darker, so that grey tells as much."""

# Cells stay as they are on a dark page, so nothing may adapt the colours of their text.
DARK, LIGHT = "#14202B", "#FEFEFE"
TURN = 0.5  # share of the way to the best from which on text is light
INK = "#222222"

OUTLINES: dict[str, dict[str, Any]] = {
    "needed": {"label": "has what the answer needs", "lw": 1.3, "ls": "-"},
    "replaced": {"label": "has what can do the same", "lw": 1.0, "ls": (0, (2, 1.5))},
}

# In widths of a cell.
PITCH = 1.14  # from control to control
GAP = 0.6  # between kinds of mechanisms
INSET, AROUND = 0.08, 0.02  # of a cell and of an outline, on each side
STRIP = (0.16, 0.84)  # where seeds are, from side to side

APART = 2  # points between seeds above which they are drawn

# In inches.
CELL = (0.36, 0.38)
TURNED = 0.25  # height of a cell where the mechanisms are the rows
LEFT, ABOVE, BELOW = 0.75, 0.85, 0.4
NARROW = 6.3  # width of a figure below which they are
LEAST_WIDTH = 5.0
SCALE = (2.0, 0.09)  # of colours; as wide as the panel where mechanisms are the rows

FONT_SIZE = 7.0

TIES = (
    "A query looks at the answer if that has the highest weight, its own cell aside; of cells that "
    "share it each counts a part."
)


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``<task>-<data>-matrix`` and ``-pointing`` as PNG, SVG and PDF, of controls alone."""
    written = []
    for variant, heading, controls in pages(groups):
        first = controls[0].group
        digits = f"-{hashlib.sha256(variant.encode()).hexdigest()[:8]}" if variant else ""
        for view in (ANSWERS, LOOKS):
            rows = [row for control in controls if (row := control.row(view)).seeds]
            if rows:
                name = f"{first.task}-{first.data}{digits}-{view.name}"
                with mpl.rc_context(STYLE):
                    written += write(figure(rows, view, heading), out / name)
    return written


def figure(rows: Sequence[Row], view: View, heading: str) -> Figure:
    """Draw controls of one recipe; call it within `analysis.figures.drawing.style.STYLE`."""
    metric = rows[0].control.metric(view)
    places = _places(in_order({word for row in rows for word in row.seeds}))
    long, many = max(places.values()) + 1, PITCH * len(rows)
    turned = (form().width or NARROW) < NARROW
    width = form().width or max(LEFT + CELL[0] * long, LEAST_WIDTH)
    height = ABOVE + BELOW + (TURNED * long if turned else CELL[1] * many)
    image, (axes,) = page(
        f"{view.subject} · {heading}",
        1,
        _notes(rows, metric, view),
        (width, height),
        caption=f"{view.subject}, by what the answer needs and by mechanism: {heading}.",
        least=height,
    )
    for number, row in enumerate(rows):
        for word, seeds in row.seeds.items():
            at = (number * PITCH, places[word])
            name = f"{row.control.asked}/{word}"
            _cell(axes, at if turned else at[::-1], seeds, row.floor, metric, name)
        for kind, words in _runs(row, [*places]):
            at = (number * PITCH + AROUND, places[words[0]] + AROUND)
            size = (1 - 2 * AROUND, len(words) - 2 * AROUND)
            corner, sides = (at, size) if turned else (at[::-1], size[::-1])
            line = Rectangle(corner, *sides, fill=False, ec=INK, clip_on=False, **OUTLINES[kind])
            line.set_gid(f"{row.control.asked}/{kind}")
            axes.add_patch(line)
    axes.set(xlim=(0, long), ylim=(many - PITCH + 1, 0))
    if turned:
        axes.set(xlim=(0, many - PITCH + 1), ylim=(long, 0))
    _name(axes, rows, places, turned)
    _key(image, axes, view, turned)
    return image


def _cell(
    axes: Axes,
    at: tuple[float, ...],
    seeds: Sequence[float],
    floor: float,
    metric: Metric,
    name: str,
) -> None:
    """Draw the mean, and the seeds below it where they differ."""
    best = 1.0 if metric.best is None else metric.best
    mean = sum(seeds) / len(seeds)

    def share(value: float) -> float:
        return min(max((value - floor) / ((best - floor) or 1.0), 0.0), 1.0)

    x, y = at
    side = 1 - 2 * INSET
    corner = (x + INSET, y + INSET)
    axes.add_patch(Rectangle(corner, side, side, fc=COLORS(share(mean)), lw=0, gid=name))
    ink = LIGHT if share(mean) > TURN else DARK
    apart = max(seeds) - min(seeds) > APART * metric.point
    axes.text(
        *(x + 0.5, y + (0.42 if apart else 0.5), replace(metric, decimals=0).format(mean)),
        ha="center", va="center", fontsize=FONT_SIZE, color=ink, gid=f"{name}/mean",
    )  # fmt: skip
    if apart:
        left, right = (x + end for end in STRIP)
        low = y + 0.78
        axes.plot([left, right], [low, low], color=ink, lw=0.4, alpha=0.6)
        dots = [left + (right - left) * share(value) for value in seeds]
        axes.plot(dots, [low] * len(dots), "o", color=ink, ms=2.0, mew=0, gid=f"{name}/seeds")


def _runs(row: Row, words: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield mechanisms side by side that one of `OUTLINES` is around, and which one."""

    def kind(word: str) -> tuple[str, int]:
        if row.control.met(word):
            return "needed", block(word)
        return ("replaced" if row.control.replaced(word) else ""), block(word)

    for (outline, _), run in itertools.groupby(words, kind):
        if outline:
            yield outline, list(run)


def _places(words: Sequence[str]) -> dict[str, float]:
    """Return where each mechanism begins, in cells."""
    found: dict[str, float] = {}
    for number, word in enumerate(words):
        kinds = len({block(before) for before in words[: number + 1]})
        found[word] = number + GAP * (kinds - 1)
    return found


def _name(axes: Axes, rows: Sequence[Row], places: Mapping[str, float], turned: bool) -> None:
    """Name rows and columns."""
    several = len({row.control.group.sites for row in rows} - {""}) > 1
    needs = [row.control.label(several) for row in rows]
    middles = [place + 0.5 for place in places.values()]
    across = [number * PITCH + 0.5 for number in range(len(rows))]
    axes.tick_params(length=0, pad=2, labelsize=FONT_SIZE, labelcolor=INK)
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    if turned:
        axes.set_xticks(across, needs)
        axes.set_yticks(middles, [*places])
        return
    axes.set_yticks(across, needs)
    axes.set_xticks(middles, [_upright(word) for word in places])
    for label, word in zip(axes.get_xticklabels(), places, strict=True):
        label.set(rotation=0 if word in TERM_SETS else 90, multialignment="left")
    sets = [place for word, place in places.items() if word in TERM_SETS]
    if sets:
        left = sets[0] - GAP / 2
        axes.annotate(
            *("\n".join(TERMS), (left, 1)), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", va="bottom", fontsize=FONT_SIZE, color=GREY,
        )  # fmt: skip


def _upright(word: str) -> str:
    """Return the word as it stands above a column: the bits of a term set one below the other."""
    return "\n".join(word) if word in TERM_SETS else word.replace("+", "+\n")


def _key(image: Figure, axes: Axes, view: View, turned: bool) -> None:
    """Add the scale of colours, and beside it, or below where it is `turned`, the outlines."""
    wide = 1.0 if turned else SCALE[0] / (image.get_figwidth() - LEFT)
    scale = image.colorbar(
        ScalarMappable(cmap=COLORS), ax=axes, location="bottom", shrink=wide,
        aspect=SCALE[0] / SCALE[1], anchor=(0.0, 1.0), pad=0.03,
    )  # fmt: skip
    scale.ax.spines[:].set_visible(False)
    scale.set_ticks([0, 1], labels=view.ends)
    scale.ax.tick_params(length=0, pad=2, labelsize=FONT_SIZE, labelcolor=INK)
    for label, side in zip(scale.ax.get_xticklabels(), ("left", "right"), strict=True):
        label.set(ha=side)
    right, up = (0.0, -0.2) if turned else (0.2, 0.03)
    moved = ScaledTranslation(right, up, image.dpi_scale_trans)
    scale.ax.legend(
        handles=[Patch(fill=False, ec=INK, **how) for how in OUTLINES.values()],
        loc="upper left", bbox_to_anchor=(0, 0) if turned else (1, 1), borderaxespad=0,
        bbox_transform=scale.ax.transAxes + moved, frameon=False, fontsize=FONT_SIZE,
        handlelength=1.4, handleheight=0.9, handletextpad=0.5, labelspacing=0.4, borderpad=0,
    )  # fmt: skip


def _notes(rows: Sequence[Row], metric: Metric, view: View) -> list[str]:
    """What a reader must know, a sentence each."""
    counts = sorted({len(seeds) for row in rows for seeds in row.seeds.values()})
    many = " to ".join(dict.fromkeys(str(count) for count in (counts[0], counts[-1])))
    unit = "" if metric.point == 1 else " in points"
    return [
        *data([row.control.group for row in rows]),
        f"Numbers: {metric.name}{unit}, means over {many} seed{'s' * (counts[-1] > 1)}.",
        f"Dots: the seeds where they are more than {APART} points apart, from the lower end of the "
        "scale on the left to the upper one on the right.",
        _chance(rows, metric) if view == ANSWERS else TIES,
    ]


def _chance(rows: Sequence[Row], metric: Metric) -> str:
    """Say what `none` reaches in each control, and what guessing would."""
    said = []
    for row in rows:
        guessed = metric.format(row.control.need.chance)
        reached = f"{metric.format(row.floor)} (guessing: {guessed})"
        said.append(
            f"{row.control.asked} {reached if WITHOUT in row.seeds else f'{guessed}, by guessing'}"
        )
    return f"Chance is what none reaches: {'; '.join(said)}."


MATRIX = Kind(
    "Positive controls: what the answer needs, and what attends",
    "a finished run of a task that says what its answers need",
    draw,
    rank=15,
    together=True,
)
