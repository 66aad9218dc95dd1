"""Where the words of a question look in an image, word by word and glimpse by glimpse."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

__all__ = ["PICTURE", "figure_of_words"]

WIDTH = 1.5  # inches of one map
LETTERS = 28
"""Of a line above a map."""
PICTURE: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 400}
"""How an image is drawn: pale, so that weights stand out."""


def figure_of_words(
    image: np.ndarray, question: str, words: np.ndarray, weights: np.ndarray
) -> Figure:
    """Return a grid of maps: a row a word, a column a glimpse, with their sums at top and left.

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
    glimpses, length = weights.shape[:2]
    height, width = image.shape[:2]
    across = 1 + glimpses * (glimpses > 1)
    size = (WIDTH * (across + 1), (WIDTH * height / width + 0.3) * (length + 1) + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(length + 1, across + 1, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    axes[0, 0].imshow(image)
    axes[0, 0].set_title(textwrap.fill(question, LETTERS), fontsize=6)
    columns = [("all glimpses" if glimpses > 1 else "all words", weights.mean(axis=0))]
    if glimpses > 1:
        columns += [(f"glimpse {number + 1}", each) for number, each in enumerate(weights)]
    for column, (name, maps) in enumerate(columns, 1):
        whole = maps.sum(axis=0)
        peak = whole.max() * whole.size
        _lay(axes[0, column], image, whole, whole.max(), f"{name}\nmax {peak:.1f} × uniform")
        for row, (word, map) in enumerate(zip(words, maps, strict=True), 1):
            share = f"{word}  {100 * map.sum():.0f} %"
            _lay(axes[row, column], image, map, maps.max(), share)
    return figure


def _lay(ax: Axes, image: np.ndarray, map: np.ndarray, top: float, title: str) -> None:
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    ax.imshow(image.mean(axis=2), extent=extent, **PICTURE)
    ax.imshow(
        map, cmap="inferno", vmin=0, vmax=max(top, np.finfo(float).tiny), alpha=0.7, extent=extent
    )
    ax.set_title(title, fontsize=6)
