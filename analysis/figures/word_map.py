"""Where the words of a question look in an image, word by word and glimpse by glimpse."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["PICTURE", "figure_of_words"]

WIDTH = 1.5  # inches of one map
ACROSS = 5
"""Maps in a row, of one glimpse."""
LETTERS = 28
"""Of a line above a map."""
PICTURE: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 400}
"""How an image is drawn: pale, so that weights stand out."""


def figure_of_words(
    image: np.ndarray, question: str, words: np.ndarray, weights: np.ndarray
) -> Figure:
    """Return a grid of maps: a row a word, a column a glimpse, with their sums at top and left.

    With one glimpse its maps follow each other as the words do.

    Parameters
    ----------
    image: numpy.ndarray
        (H, W, 3).
    question: str
        With its answer.
    words: numpy.ndarray
        T strings.
    weights: numpy.ndarray
        (glimpses, T, rows, columns), each glimpse 1 in sum. All words of a glimpse have one scale.
    """
    several = len(weights) > 1
    shown = [("all glimpses" if several else "all words", weights.mean(axis=0))]
    if several:
        shown += [(f"glimpse {number}", maps) for number, maps in enumerate(weights, 1)]
    panels = 1 + 1 + len(words)
    across = 1 + len(shown) if several else min(ACROSS, panels)
    down = 1 + len(words) if several else -(-panels // across)
    height, width = image.shape[:2]
    size = (WIDTH * across, (WIDTH * height / width + 0.3) * down + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(down, across, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    axes[0, 0].imshow(image)
    axes[0, 0].set_title(textwrap.fill(question, LETTERS), fontsize=6)
    for column, (name, maps) in enumerate(shown, 1):
        whole = maps.sum(axis=0)
        peak = whole.max() * whole.size
        laid = [(whole, whole.max(), f"{name}\nmax {peak:.1f} × uniform")]
        for word, map in zip(words, maps, strict=True):
            laid.append((map, maps.max(), f"{word}  {100 * map.sum():.0f} %"))
        for row, panel in enumerate(laid):
            _lay(axes[(row, column) if several else divmod(1 + row, across)], image, *panel)
    return figure


def _lay(ax: Axes, image: np.ndarray, map: np.ndarray, top: float, title: str) -> None:
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    ax.imshow(image.mean(axis=2), extent=extent, **PICTURE)
    ax.imshow(
        map, cmap="inferno", vmin=0, vmax=max(top, np.finfo(float).tiny), alpha=0.7, extent=extent
    )
    ax.set_title(title, fontsize=6)
