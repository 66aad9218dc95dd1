"""Put labels beside crowded points so that none covers another label, a point or the frame.

Points that lie on each other share a label. Every label tries the same spots around its point, near
ones first, and takes the first that is free: the same figure always comes out the same. There is no
optimisation and no random start, as in adjustText, which stops by the clock besides, has no label
for several points, and leaves names on points where it is crowded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.boxes import Box, Point, Segment, intersect
from analysis.figures.drawing.palette import color, ink, is_key

__all__ = ["Label", "Spot", "arrange", "draw", "merged", "name"]

DISTANCES = (4, 7, 11, 16, 22, 30, 39, 50, 62)
"""Gaps between point and label to try, in typographic points."""

APART = 30
"""A label that may be left out stands nearer than this, or not at all."""

# Right, left, above and below read best; then the diagonals; then what lies between.
DIRECTIONS = tuple(map(math.radians, (0, 180, 90, 270, 45, 135, 315, 225)))
DIRECTIONS += tuple(math.radians(a) for a in range(0, 360, 15) if a % 45)

LEADER = 9
"""From this gap on, in typographic points, a thin line ties the label to its point."""

FONT_SIZE = 7.0
A_LINE = 3  # words
MIXED = "#444444"

CLEARANCE = 1.5
"""Free space around a label, in typographic points."""

WORTH = 15
"""Typographic points that a label moves farther away to avoid one fault (see `_faults`)."""

CONFUSING = 3
"""Faults with which a label that may be left out is: a leader across something, and one more."""

STEEP = 6
"""Taller than this many times its width, a leader looks like an error bar."""


class Spot(NamedTuple):
    """Where a label may go: its box, the line to its point, the gap in typographic points."""

    box: Box
    leader: Segment | None
    distance: float


@dataclass(frozen=True)
class Label:
    """A text for points that lie on each other.

    Parameters
    ----------
    place: int
        Of the point that the label stands at, the most important one.
    words: tuple of str
        The mechanisms of the points.
    """

    place: int
    words: tuple[str, ...]

    @property
    def text(self) -> str:
        """The words, a few on a line."""
        shown = [*map(name, sorted(self.words))]
        rows = [", ".join(shown[start : start + A_LINE]) for start in range(0, len(shown), A_LINE)]
        return ",\n".join(rows)

    @property
    def needed(self) -> bool:
        """Whether it is written however little room there is."""
        return any(map(is_key, self.words))

    @property
    def color(self) -> str:
        """Of all its points, or a neutral one if these differ."""
        tones = {color(word) for word in self.words}
        return ink(tones.pop()) if len(tones) == 1 else MIXED


def name(mechanism: str) -> str:
    """Return what a label says of a mechanism."""
    return "none (w/o)" if mechanism == "none" else mechanism


def merged(words: Sequence[str], places: np.ndarray, near: float) -> list[Label]:
    """Return a label for each point, or one for several that lie on each other.

    Parameters
    ----------
    words: sequence of str, (n,)
        Mechanisms, the most important first.
    places: numpy.ndarray, (n, 2)
        Of their points on the canvas.
    near: float
        Less than this from all points of a label, a point belongs to it.
    """
    found: list[list[int]] = []
    for index, place in enumerate(places):
        for members in found:
            if np.hypot(*(places[members] - place).T).max() < near:
                members.append(index)
                break
        else:
            found.append([index])
    words = list(words)
    return [Label(members[0], tuple(words[index] for index in members)) for members in found]


def draw(
    axes: Axes,
    labels: Sequence[Label],
    places: np.ndarray,
    marker: float,
    keep_clear: Sequence[Box],
) -> list[str]:
    """Write `labels` into `axes`, in the order of their importance; return what has no room.

    Parameters
    ----------
    axes: Axes
        Its limits and its position in the figure must be final: labels are placed on the canvas.
    labels: sequence of Label
        Earlier ones get the nearer spots; those that are `needed` come first.
    places: numpy.ndarray, (n, 2)
        Of all points on the canvas.
    marker: float
        Diameter of the points, in typographic points.
    keep_clear: sequence of Box
        Other things that labels avoid if they can, in display coordinates.
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    unit = figure.dpi / 72
    labels = sorted(labels, key=lambda label: not label.needed)
    inverted = axes.transData.inverted()
    texts, sizes = [], []
    for label in labels:
        text = axes.annotate(
            label.text,
            tuple(inverted.transform(places[label.place])),
            xytext=(0, 0),
            textcoords="offset points",
            color=label.color,
            fontweight="bold" if label.needed else "normal",
            fontsize=FONT_SIZE,
            va="bottom",
            ha="left",
            zorder=5,
        )
        extent = text.get_window_extent()
        texts.append(text)
        sizes.append((extent.width, extent.height))
    bounds = Box(*axes.get_window_extent().extents)
    # Points that share a label are to be kept clear of the other labels as well.
    order = [label.place for label in labels]
    order += [place for place in range(len(places)) if place not in order]
    anchors = [(float(x), float(y)) for x, y in places[order]]
    needed = sum(label.needed for label in labels)
    spots = arrange(anchors, sizes, marker * unit, bounds, keep_clear, unit, needed)
    left_out: list[str] = []
    for label, text, anchor, spot in zip(labels, texts, anchors, spots, strict=False):
        if spot is None:
            text.remove()
            left_out += label.words
            continue
        text.set_position(((spot.box.x0 - anchor[0]) / unit, (spot.box.y0 - anchor[1]) / unit))
        if spot.leader is not None:
            ends = inverted.transform(spot.leader)
            axes.plot(ends[:, 0], ends[:, 1], color=label.color, lw=0.5, alpha=0.7, zorder=2)
    return left_out


def arrange(
    anchors: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    marker: float,
    bounds: Box,
    keep_clear: Sequence[Box] = (),
    unit: float = 1.0,
    needed: int | None = None,
) -> list[Spot | None]:
    """Find a box for every label, and a leader line if the box is far away.

    Parameters
    ----------
    anchors, sizes: sequences of pairs
        Centres of the points; widths and heights of the labels of the first of them.
    marker: float
        Diameter of the points.
    bounds: Box
        No label leaves it.
    keep_clear: sequence of Box
        Avoided, as all leaders are, unless that would take the label too far away.
    unit: float
        Size of a typographic point in the coordinates of all the others.
    needed: int, optional
        How many labels, the first ones, must stand, if not all. If the frame is too full for a free
        spot, such a label takes the spot that covers least; another is None, and so is one for
        which there is only a spot `APART` or farther off, or with too many `_faults`.
    """
    radius = marker / 2
    points = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in anchors]
    inner = bounds.grown(-CLEARANCE * unit)
    result: list[Spot | None] = []
    for index, (anchor, size) in enumerate(zip(anchors, sizes, strict=False)):
        must = needed is None or index < needed
        spots = [p for p in _spots(anchor, size, radius, unit) if inner.contains(p.box)]
        if not must:
            spots = [spot for spot in spots if spot.distance < APART]
        placed = [spot.box for spot in result if spot is not None]
        solid = [box.grown(CLEARANCE * unit) for box in points + placed]
        others = points[:index] + points[index + 1 :] + placed
        leaders = [spot.leader for spot in result if spot is not None and spot.leader is not None]
        choice, cost = None, math.inf
        for spot in spots:
            if spot.distance / WORTH >= cost:
                break  # they only get farther
            if any(map(spot.box.overlaps, solid)):
                continue
            faults = _faults(spot, others, leaders, keep_clear)
            if not must and faults >= CONFUSING:
                continue
            if faults + spot.distance / WORTH < cost:
                choice, cost = spot, faults + spot.distance / WORTH
        if choice is None and must:
            choice = _least(spots, solid, anchor, size)
        result.append(choice)
    return result


def _spots(anchor: Point, size: tuple[float, float], radius: float, unit: float) -> Iterator[Spot]:
    (x, y), (width, height) = anchor, size
    for distance in DISTANCES:
        gap = radius + distance * unit
        for angle in DIRECTIONS:
            dx, dy = math.cos(angle), math.sin(angle)
            # The box touches the circle of that gap with the side or corner that faces the point.
            left = x + gap * dx - width * (1 - dx) / 2
            bottom = y + gap * dy - height * (1 - dy) / 2
            box = Box(left, bottom, left + width, bottom + height)
            leader = None
            if distance >= LEADER:
                end = (min(max(x, box.x0), box.x1), min(max(y, box.y0), box.y1))
                length = math.dist(anchor, end) or 1.0
                begin, stop = radius / length, 1 - CLEARANCE * unit / length
                leader = (
                    (x + (end[0] - x) * begin, y + (end[1] - y) * begin),
                    (x + (end[0] - x) * stop, y + (end[1] - y) * stop),
                )
            yield Spot(box, leader, distance)


def _faults(
    spot: Spot, others: Sequence[Box], leaders: Sequence[Segment], keep_clear: Sequence[Box]
) -> float:
    """Count what the label lies on and, four times as bad, what its leader runs across."""
    covered = sum(map(spot.box.overlaps, keep_clear)) + sum(map(spot.box.crossed_by, leaders))
    if spot.leader is None:
        return covered / 2
    (x, y), (x_end, y_end) = leader = spot.leader
    crossed = sum(box.crossed_by(leader) for box in others)
    crossed += sum(intersect(leader, other) for other in leaders)
    return covered / 2 + 2 * crossed + (abs(y_end - y) > STEEP * abs(x_end - x))


def _least(
    spots: Sequence[Spot], solid: Sequence[Box], anchor: Point, size: tuple[float, float]
) -> Spot:
    if not spots:  # the label is larger than the frame
        (x, y), (width, height) = anchor, size
        return Spot(Box(x, y, x + width, y + height), None, 0)
    return min(spots, key=lambda spot: sum(map(spot.box.common_area, solid)))
