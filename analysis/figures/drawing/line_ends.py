"""Names at the right ends of lines, one below the other, so that none covers another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Annotation
from scipy.optimize import isotonic_regression

__all__ = ["End", "move", "spread", "write"]

FONT_SIZE = 7.0
PITCH = 8.6  # from one name to the next, in typographic points
GAP = 20.0  # from the frame to a name; a thin line ties it to its end


@dataclass(frozen=True)
class End:
    """Where a line ends, in data coordinates, and how it is named."""

    x: float
    y: float
    text: str
    color: str
    weight: str = "normal"


def write(axes: Axes, ends: Sequence[End]) -> list[Annotation]:
    """Write the names beside the axes, so that a layout makes room for them; then :func:`move`."""
    return [
        axes.annotate(
            end.text,
            (1, 0.5),
            xycoords="axes fraction",
            xytext=(GAP, 0),
            textcoords="offset points",
            color=end.color,
            fontweight=end.weight,
            fontsize=FONT_SIZE,
            va="center",
            annotation_clip=False,
        )
        for end in ends
    ]


def move(axes: Axes, ends: Sequence[End], texts: Sequence[Annotation]) -> None:
    """Move the names to their lines; the position and the limits of the axes must be final."""
    if not ends:
        return
    # Later lines must not change the limits.
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    unit = axes.figure.dpi / 72
    frame = axes.get_window_extent()
    at = axes.transData.transform([(end.x, end.y) for end in ends])
    heights = spread(at[:, 1].tolist(), PITCH * unit, frame.y0, frame.y1)
    middle = (frame.y0 + frame.y1) / 2
    for (x, y), height, end, text in zip(at, heights, ends, texts, strict=True):
        text.set_position((GAP, (height - middle) / unit))
        tie = [(x, y), (frame.x1 + (GAP - 2) * unit, height)]
        points = axes.transData.inverted().transform(tie)
        axes.plot(*points.T, color=end.color, lw=0.5, alpha=0.6, zorder=1, clip_on=False, gid="tie")


def spread(wanted: Sequence[float], pitch: float, low: float, high: float) -> np.ndarray:
    """Move heights apart, each as little as possible (least squares), and keep their order.

    Parameters
    ----------
    wanted: sequence of float, (n,)
        Where each would be alone.
    pitch: float
        Least distance of two.
    low, high: float
        No height comes nearer to these than half a `pitch`. If there are too many, they run over on
        both sides.
    """
    heights = np.asarray(wanted, dtype=float)
    order = np.argsort(heights, kind="stable")
    steps = pitch * np.arange(len(heights))
    free = isotonic_regression(heights[order] - steps).x
    first, last = low + pitch / 2, high - pitch / 2 - steps[-1]
    result = np.empty_like(heights)
    result[order] = np.clip(free, *sorted((first, last))) + steps
    if last < first:
        result[order] = (first + last) / 2 + steps
    return result
