"""Where a query looks: over an image by term and head, or as an alignment of two sentences.

Images have the form of the paper's Figure 1: the weight of each key, laid over the picture. The
shape decides how the weights of other mechanisms are drawn: a number per channel as a curve, a
number per position as a heat map. What a mechanism crops is outlined.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from analysis.figures.drawing.style import STYLE, gridlines, write
from analysis.figures.word_map import PICTURE, figure_of_words
from analysis.stats.effects import MEANINGS, TERMS

__all__ = ["draw", "figure_of", "layers"]

CROP = "crop"
"""How the name of four corners (4, 2) begins: x and y as shares of the image, the upper left one
first.
"""

MAP_WIDTH = 1.9  # inches of one small map
TOKEN, LARGEST = 0.22, 40.0
"""Inches of a row of a matrix, and of all of it: a thousand rows would need gigabytes as pixels."""
COLUMNS = 4
LETTERS = 36
"""Of a line above a small map."""
LETTER = 0.055
"""Inches of a letter of the heading or the foot, on average."""
QUERY_COLOR = "#00E5FF"
CURVE_COLOR = "#0072B2"


def layers(arrays: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the blocks that were looked into, in the order of the network."""
    return list(dict.fromkeys(key.rpartition("/")[0] for key in arrays if "/" in key))


def draw(arrays: Mapping[str, np.ndarray], layer: str, title: str, out: Path) -> list[Path]:
    """Draw one block's attention; write ``<out>.png`` and ``<out>.svg``.

    Parameters
    ----------
    arrays: mapping of str to numpy.ndarray
        What a task's ``look`` returns: ``image`` and ``query`` or ``question``, or ``source`` and
        ``target``; and ``<block>/<name>``. ``weights`` are (M, Hk, Wk), or (M, T, S) of sentences,
        or (M, T, Hk, Wk) by the T ``words`` of a question, which may have weights (T,) too, in
        ``<block>/words``; ``crop``, or each ``crop ...``, are four corners (4, 2) from 0 to 1 in an
        image; any other name is drawn if it is (C,), or (H, W) over an image, and named at the foot
        if not.
    layer: str
        One of :func:`layers`.
    title: str
        Heading.
    out: Path
        Without a suffix.
    """
    with mpl.rc_context(STYLE):
        figure = figure_of(arrays, layer)
        figure.suptitle(f"{_wrapped(figure, title)}\n{layer}", fontsize=7)
        FigureCanvasAgg(figure)
        return write(figure, out, ("png", "svg"))


def figure_of(arrays: Mapping[str, np.ndarray], layer: str) -> Figure:
    """Return the figure of one block, without its heading."""
    own = {
        key.removeprefix(f"{layer}/"): array
        for key, array in arrays.items()
        if key.rpartition("/")[0] == layer
    }
    words = arrays.get("words", np.array([]))
    if own.get("weights", words).shape[1:2] == words.shape and own["weights"].ndim == 4:
        return figure_of_words(arrays["image"], str(arrays["question"]), words, own["weights"])
    if own.get("words", np.array(0)).shape == words.shape:
        shares = zip(words, own.pop("words"), strict=True)
        told = " ".join(f"{word} {share:.2f}" for word, share in shares)
        arrays = {**arrays, "question": np.array(f"{arrays['question']} ({told})")}
    weights = own.pop("weights") if "weights" in own and own["weights"].ndim == 3 else None
    terms = {name: own.pop(name) for name in TERMS if name in own and weights is not None}
    crops = {
        name: own.pop(name)
        for name in tuple(own)
        if name.split(" ")[0] == CROP and "image" in arrays and own[name].shape == (4, 2)
    }
    curves = {name: array for name, array in own.items() if array.ndim == 1}
    maps = {name: array for name, array in own.items() if array.ndim == 2 and "image" in arrays}
    if "image" in arrays:
        figure = _over_image(arrays, weights, terms, maps, curves, crops)
    else:
        figure = _alignment(arrays, layer, weights, curves)
    if rest := [
        f"{name} ({' × '.join(map(str, array.shape))})"
        for name, array in own.items()
        if name not in curves | maps
    ]:
        told = f"Not drawn, for the shape: {', '.join(rest)}."
        figure.supxlabel(_wrapped(figure, told), fontsize=6)
    return figure


def _wrapped(figure: Figure, text: str) -> str:
    return textwrap.fill(text, int(figure.get_figwidth() / LETTER))


def _over_image(
    arrays: Mapping[str, np.ndarray],
    weights: np.ndarray | None,
    terms: Mapping[str, np.ndarray],
    maps: Mapping[str, np.ndarray],
    curves: Mapping[str, np.ndarray],
    crops: Mapping[str, np.ndarray],
) -> Figure:
    """Mean over heads of all terms and of each term alone; every head; then all else."""
    laid = []
    if weights is not None:
        several = len(weights) > 1
        what = "all terms" if terms else "weights"
        laid.append((f"{what}, mean of heads" if several else what, weights.mean(axis=0)))
        # The softmax as if the other terms were off.
        laid += [
            (f"{term}  {MEANINGS[term]} alone", _softmax(energy).mean(axis=0))
            for term, energy in terms.items()
        ]
        if several:
            laid += [(f"head {index + 1}", head) for index, head in enumerate(weights)]
    # The largest weight relative to the uniform one shows how peaked a map is.
    titled = [(f"{text}\nmax {map.max() * map.size:.1f} × uniform", map) for text, map in laid]
    titled += [(f"{name}\n{_range(map)}", map) for name, map in maps.items()]
    image = arrays["image"]
    panels = 1 + len(titled) + len(curves) + len(crops)
    columns = min(max(panels, 2), COLUMNS)
    rows = -(-panels // columns)
    height, width = image.shape[:2]
    size = (MAP_WIDTH * columns, (MAP_WIDTH * height / width + 0.25) * rows + 0.4)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    pictures, others = axes[: len(titled) + 1], list(axes[len(titled) + 1 :])
    for ax in pictures:
        ax.set_axis_off()
        if "query" in arrays:
            cross = {"marker": "+", "markersize": 8, "markeredgewidth": 1.5}
            ax.plot(*arrays["query"], **cross, color=QUERY_COLOR)
    pictures[0].imshow(image)
    asked = str(arrays.get("question", "query"))
    pictures[0].set_title(textwrap.fill(asked, LETTERS), fontsize=7)
    extent = (0, width, height, 0)
    for ax, (text, map) in zip(pictures[1:], titled, strict=True):
        ax.imshow(image.mean(axis=2), extent=extent, **PICTURE)
        low, high = min(float(map.min()), 0), max(float(map.max()), np.finfo(float).tiny)
        ax.imshow(map, cmap="inferno", vmin=low, vmax=high, alpha=0.7, extent=extent)
        ax.set_title(text, fontsize=6)
    for ax in pictures:
        ax.set_xlim(0, width)
        ax.set_ylim(height, 0)
    for name, crop in crops.items():
        _outline(others.pop(0), image, crop, name)
    _curves(others, curves)
    return figure


def _range(map: np.ndarray) -> str:
    """Return how many positions a mask keeps, or the smallest and largest number."""
    if np.isin(map, (0, 1)).all():
        return f"{map.sum():.0f} of {map.size}"
    return f"{map.min():.3g} to {map.max():.3g}"


def _outline(ax: Axes, image: np.ndarray, crop: np.ndarray, name: str) -> None:
    """Show which part of an image a mechanism takes; a dot marks its upper left corner."""
    height, width = image.shape[:2]
    corners = crop * (width, height)
    ax.set_axis_off()
    ax.imshow(image)
    ax.fill(*corners.T, fill=False, edgecolor=QUERY_COLOR, linewidth=1.5, clip_on=False)
    ax.plot(*corners[0], marker="o", markersize=4, color=QUERY_COLOR)
    # It may reach beyond the image.
    left, top = np.minimum(corners.min(axis=0), 0)
    right, bottom = np.maximum(corners.max(axis=0), (width, height))
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    shown = textwrap.fill(name, LETTERS)
    ax.set_title(f"{shown}\nthe dot is its upper left corner", fontsize=6)


def _alignment(
    arrays: Mapping[str, np.ndarray],
    layer: str,
    weights: np.ndarray | None,
    curves: Mapping[str, np.ndarray],
) -> Figure:
    """A matrix of target by source tokens: the mean of the heads, then every head; then curves."""
    heads = [] if weights is None else [*weights]
    source = [str(token) for token in arrays["source"]]
    target = [str(token) for token in arrays["target"]]
    across = source
    down = source if layer.startswith("encoder") else target
    if layer.startswith("decoder") and weights is not None and weights.shape[2] != len(source):
        across = target
    rows = -(-len(heads) // COLUMNS) + -(-len(curves) // COLUMNS)
    wanted = TOKEN * max(len(across), len(down))
    cell = min(wanted, LARGEST) + 1.2
    letters = 7 * min(1, LARGEST / wanted)
    figure = Figure(figsize=(cell + 1.6, cell + 1.6 * rows), layout="constrained")
    ratios = [cell, *([1.4] * rows)]
    grid = figure.add_gridspec(rows + 1, COLUMNS, height_ratios=ratios)
    if weights is not None:
        large = figure.add_subplot(grid[0, :])
        _matrix(large, weights.mean(axis=0))
        large.set_title("mean of the heads", fontsize=8)
        large.set_xticks(range(len(across)), across, rotation=90, fontsize=letters)
        large.set_yticks(range(len(down)), down, fontsize=letters)
    for index, head in enumerate(heads):
        ax = figure.add_subplot(grid[1 + index // COLUMNS, index % COLUMNS])
        _matrix(ax, head)
        ax.set_title(f"head {index + 1}", fontsize=7)
        ax.set_xticks([])
        ax.set_yticks([])
    first = COLUMNS * (1 + -(-len(heads) // COLUMNS))
    places = [divmod(first + index, COLUMNS) for index in range(len(curves))]
    _curves([figure.add_subplot(grid[place]) for place in places], curves)
    return figure


def _curves(axes: Sequence[Axes], curves: Mapping[str, np.ndarray]) -> None:
    """Draw numbers by channel, the largest first; hide the axes that are left over."""
    for ax, (name, values) in zip(axes, curves.items(), strict=False):
        ax.plot(np.arange(1, len(values) + 1), np.sort(values)[::-1], color=CURVE_COLOR, lw=1.2)
        ax.set_title(f"{name}\n{len(values)} channels, the largest first", fontsize=6)
        ax.tick_params(labelsize=5)
        ax.ticklabel_format(axis="y", useOffset=False)  # gates that hardly differ
        gridlines(ax)
    for ax in axes[len(curves) :]:
        ax.set_axis_off()


def _matrix(ax: Axes, weights: np.ndarray) -> None:
    ax.imshow(weights, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    for side in ax.spines.values():
        side.set_visible(False)


def _softmax(energy: np.ndarray) -> np.ndarray:
    """Softmax over the keys of each head, (M, Hk, Wk)."""
    shifted = np.exp(energy - energy.max(axis=(1, 2), keepdims=True))
    return shifted / shifted.sum(axis=(1, 2), keepdims=True)
