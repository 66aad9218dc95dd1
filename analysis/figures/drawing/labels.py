"""Put labels beside crowded points so that none covers another label, a point or the frame.

Every label tries the same spots around its point, near ones first, and takes the first that is
free: the same figure always comes out the same. There is no optimisation and no random start.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.boxes import Box, Point, Segment, intersect

__all__ = ["Label", "Spot", "arrange", "draw"]

DISTANCES = (4, 7, 11, 16, 22, 30, 39, 50, 62, 76, 92, 110, 135, 165, 200)
"""Gaps between point and label to try, in typographic points."""

# Right, left, above and below read best; then the diagonals; then what lies between.
DIRECTIONS = tuple(map(math.radians, (0, 180, 90, 270, 45, 135, 315, 225)))
DIRECTIONS += tuple(math.radians(a) for a in range(0, 360, 15) if a % 45)

LEADER = 9
"""From this gap on, in typographic points, a thin line ties the label to its point."""

FONT_SIZE = 7.2

CLEARANCE = 1.5
"""Free space around a label, in typographic points."""

WORTH = 50
"""Typographic points that a label moves farther away to avoid one fault (see `_faults`)."""

STEEP = 6
"""Taller than this many times its width, a leader looks like an error bar."""


class Spot(NamedTuple):
    """Where a label may go: its box, the line to its point, the gap in typographic points."""

    box: Box
    leader: Segment | None
    distance: float


@dataclass(frozen=True)
class Label:
    """A text for the point (x, y) in data coordinates."""

    x: float
    y: float
    text: str
    color: str
    weight: str = "normal"


def draw(axes: Axes, labels: Sequence[Label], marker: float, keep_clear: Sequence[Box]) -> None:
    """Write `labels` into `axes`, in the order of their importance.

    Parameters
    ----------
    axes: Axes
        Its limits and its position in the figure must be final: labels are placed on the canvas.
    labels: sequence of Label
        Earlier ones get the nearer spots.
    marker: float
        Diameter of the points, in typographic points.
    keep_clear: sequence of Box
        Other things that labels avoid if they can, in display coordinates.
    """
    figure = axes.get_figure(root=True)
    assert isinstance(figure, Figure)
    unit = figure.dpi / 72
    texts, sizes, anchors = [], [], []
    for label in labels:
        text = axes.annotate(
            label.text,
            (label.x, label.y),
            xytext=(0, 0),
            textcoords="offset points",
            color=label.color,
            fontweight=label.weight,
            fontsize=FONT_SIZE,
            va="bottom",
            ha="left",
            zorder=5,
        )
        extent = text.get_window_extent()
        centre = axes.transData.transform((label.x, label.y))
        texts.append(text)
        sizes.append((extent.width, extent.height))
        anchors.append((float(centre[0]), float(centre[1])))
    bounds = Box(*axes.get_window_extent().extents)
    spots = arrange(anchors, sizes, marker * unit, bounds, keep_clear, unit)
    for label, text, anchor, (box, leader, _) in zip(labels, texts, anchors, spots, strict=True):
        text.set_position(((box.x0 - anchor[0]) / unit, (box.y0 - anchor[1]) / unit))
        if leader is not None:
            ends = axes.transData.inverted().transform(leader)
            axes.plot(ends[:, 0], ends[:, 1], color=label.color, lw=0.5, alpha=0.7, zorder=2)


def arrange(
    anchors: Sequence[Point],
    sizes: Sequence[tuple[float, float]],
    marker: float,
    bounds: Box,
    keep_clear: Sequence[Box] = (),
    unit: float = 1.0,
) -> list[Spot]:
    """Find a box for every anchor, and a leader line if the box is far away.

    Parameters
    ----------
    anchors, sizes: sequences of pairs
        Centres of the points; widths and heights of their labels.
    marker: float
        Diameter of the points.
    bounds: Box
        No label leaves it.
    keep_clear: sequence of Box
        Avoided, as all leaders are, unless that would take the label too far away.
    unit: float
        Size of a typographic point in the coordinates of all the others.

    Notes
    -----
    If the frame is too full for a free spot, the label takes the spot that covers least.
    """
    radius = marker / 2
    points = [Box(x - radius, y - radius, x + radius, y + radius) for x, y in anchors]
    inner = bounds.grown(-CLEARANCE * unit)
    result: list[Spot] = []
    for index, (anchor, size) in enumerate(zip(anchors, sizes, strict=True)):
        spots = [p for p in _spots(anchor, size, radius, unit) if inner.contains(p.box)]
        placed = [spot.box for spot in result]
        solid = [box.grown(CLEARANCE * unit) for box in points + placed]
        others = points[:index] + points[index + 1 :] + placed
        leaders = [spot.leader for spot in result if spot.leader is not None]
        choice, cost = None, math.inf
        for spot in spots:
            if spot.distance / WORTH >= cost:
                break  # they only get farther
            if any(map(spot.box.overlaps, solid)):
                continue
            faults = _faults(spot, others, leaders, keep_clear)
            if faults + spot.distance / WORTH < cost:
                choice, cost = spot, faults + spot.distance / WORTH
        result.append(choice or _least(spots, solid, anchor, size))
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
