"""Rectangles and segments on a canvas, for the placement of labels."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Box", "Point", "Segment", "intersect"]

Point = tuple[float, float]
Segment = tuple[Point, Point]


class Box(NamedTuple):
    """A rectangle on the canvas. There are tens of thousands, and matplotlib's Bbox is slow."""

    x0: float
    y0: float
    x1: float
    y1: float

    def grown(self, margin: float) -> Box:
        """The rectangle with a margin on all sides."""
        return Box(self.x0 - margin, self.y0 - margin, self.x1 + margin, self.y1 + margin)

    def contains(self, other: Box) -> bool:
        """Whether `other` lies inside."""
        return (
            self.x0 <= other.x0
            and other.x1 <= self.x1
            and self.y0 <= other.y0
            and other.y1 <= self.y1
        )

    def common_area(self, other: Box) -> float:
        """Area that both cover."""
        width = min(self.x1, other.x1) - max(self.x0, other.x0)
        height = min(self.y1, other.y1) - max(self.y0, other.y0)
        return max(width, 0.0) * max(height, 0.0)

    def overlaps(self, other: Box) -> bool:
        """Whether the two share more than an edge."""
        return (
            self.x0 < other.x1 and other.x0 < self.x1 and self.y0 < other.y1 and other.y0 < self.y1
        )

    def crossed_by(self, segment: Segment) -> bool:
        """Whether a segment touches the rectangle (clipping after Liang and Barsky, 1984)."""
        (x, y), (x_end, y_end) = segment
        enter, leave = 0.0, 1.0
        for start, step, low, high in (
            (x, x_end - x, self.x0, self.x1),
            (y, y_end - y, self.y0, self.y1),
        ):
            if step == 0:
                if not low <= start <= high:
                    return False
                continue
            near, far = sorted(((low - start) / step, (high - start) / step))
            enter, leave = max(enter, near), min(leave, far)
        return enter <= leave


def intersect(first: Segment, second: Segment) -> bool:
    """Whether two segments cross each other within both."""

    def side(a: Point, b: Point, c: Point) -> float:
        return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])

    (a, b), (c, d) = first, second
    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0
