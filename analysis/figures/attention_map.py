"""Where a query looks: over an image by term and head, or as an alignment of two sentences.

The form of the paper's Figure 1 for images: the weight of each key, laid over the picture.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.drawing.style import STYLE, write

__all__ = ["draw", "layers"]

TERMS = {
    "E1": "E1  query and key content",
    "E2": "E2  query content, position",
    "E3": "E3  key content",
    "E4": "E4  position",
}
CELL = 1.9  # inches of one small map
COLUMNS = 4
QUERY_COLOR = "#00E5FF"


def layers(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the blocks that were looked into, in the order of the network."""
    return [key.removesuffix("/weights") for key in arrays if key.endswith("/weights")]


def draw(arrays: Mapping[str, np.ndarray], layer: str, title: str, out: Path) -> list[Path]:
    """Draw one block's attention; write ``<out>.png`` and ``<out>.svg``.

    Parameters
    ----------
    arrays: mapping of str to numpy.ndarray
        What a task's ``look`` returns: with ``image``, or with ``source`` and ``target``.
    layer: str
        One of :func:`layers`.
    title: str
        Heading.
    out: Path
        Without a suffix.
    """
    with mpl.rc_context(STYLE):
        make = _over_image if "image" in arrays else _alignment
        figure = make(arrays, layer)
        figure.suptitle(f"{title}\n{layer}", fontsize=7)
        FigureCanvasAgg(figure)
        return write(figure, out, ("png", "svg"))


def _over_image(arrays: Mapping[str, np.ndarray], layer: str) -> Figure:
    """Mean over heads of all terms and of each term alone; then every head."""
    weights = arrays[f"{layer}/weights"]  # (M, Hk, Wk)
    maps = [("all terms, mean of heads", weights.mean(axis=0))]
    for term, text in TERMS.items():
        if f"{layer}/{term}" in arrays:
            # What the softmax would be if the others were off.
            alone = _softmax(arrays[f"{layer}/{term}"])
            maps.append((f"{text} alone", alone.mean(axis=0)))
    maps += [(f"head {index + 1}", head) for index, head in enumerate(weights)]
    image, query = arrays["image"], arrays["query"]
    rows = -(-(len(maps) + 1) // COLUMNS)
    height, width = image.shape[:2]
    size = (CELL * COLUMNS, (CELL * height / width + 0.25) * rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for ax in axes:
        ax.set_axis_off()
    axes[0].imshow(image)
    axes[0].set_title("query", fontsize=7)
    for ax, (text, weight) in zip(axes[1:], maps, strict=False):
        grey = image.mean(axis=2)
        ax.imshow(grey, cmap="gray", vmin=0, vmax=400, extent=(0, width, height, 0))
        peak = max(float(weight.max()), np.finfo(float).tiny)
        ax.imshow(
            weight, cmap="inferno", vmin=0, vmax=peak, alpha=0.7, extent=(0, width, height, 0)
        )
        # How peaked a map is shows in how far its largest weight exceeds the uniform one.
        ax.set_title(f"{text}\nmax {peak * weight.size:.1f} × uniform", fontsize=6)
    for ax in axes[: len(maps) + 1]:
        ax.plot(*query, marker="+", markersize=8, markeredgewidth=1.5, color=QUERY_COLOR)
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
    return figure


def _alignment(arrays: Mapping[str, np.ndarray], layer: str) -> Figure:
    """A matrix of target by source tokens: the mean of the heads, then every head."""
    weights = arrays[f"{layer}/weights"]  # (M, T, S)
    source = [str(token) for token in arrays["source"]]
    target = [str(token) for token in arrays["target"]]
    across = source
    down = source if layer.startswith("encoder") else target
    if layer.startswith("decoder") and weights.shape[2] != len(source):
        across = target
    rows = -(-len(weights) // COLUMNS)
    cell = 0.22 * max(len(across), len(down)) + 1.2
    figure = Figure(figsize=(cell + 1.6, cell + 1.6 * rows), layout="constrained")
    ratios = [cell, *([1.4] * rows)]
    grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=ratios)
    large = figure.add_subplot(grid[0, :])
    _matrix(large, weights.mean(axis=0))
    large.set_title("mean of the heads", fontsize=8)
    large.set_xticks(range(len(across)), across, rotation=90, fontsize=7)
    large.set_yticks(range(len(down)), down, fontsize=7)
    for index, head in enumerate(weights):
        ax = figure.add_subplot(grid[1 + index // COLUMNS, index % COLUMNS])
        _matrix(ax, head)
        ax.set_title(f"head {index + 1}", fontsize=7)
        ax.set_xticks([])
        ax.set_yticks([])
    return figure


def _matrix(ax: Axes, weights: np.ndarray) -> None:
    ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for side in ax.spines.values():
        side.set_visible(False)


def _softmax(energy: np.ndarray) -> np.ndarray:
    """Softmax over the keys of each head, (M, Hk, Wk)."""
    shifted = np.exp(energy - energy.max(axis=(1, 2), keepdims=True))
    return shifted / shifted.sum(axis=(1, 2), keepdims=True)
