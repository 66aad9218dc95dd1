"""The chart of a benchmark: how many times faster each configuration is, as PNG and SVG.

It shows the time of forward and backward beside mmcv's module, a panel for each input, a bar for
each number of threads, or on a GPU for each precision, eager and as one graph. The same file gives
the same bytes.
"""

from __future__ import annotations

import math
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from analysis.figures.drawing.style import PANEL_TITLE, STYLE, gridlines, write

__all__ = ["draw"]

PANEL = (6.0, 2.5)  # width and height in inches
COLOURS = ("#56B4E9", "#0072B2", "#CC79A7", "#D55E00")  # Okabe and Ito, in the order of the series
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
PASS = "forward+backward"


def draw(path: Path) -> list[Path]:
    """Draw the file of a benchmark beside it.

    Parameters
    ----------
    path: Path
        CSV file that ``study bench attention`` wrote.

    Returns
    -------
    list of Path
        ``.png`` and ``.svg``; empty if the file has no comparison with mmcv's module.
    """
    frame = pd.read_csv(path, dtype={"configuration": str})
    frame = _on_gpu(frame) if "gpu" in frame else _on_cpu(frame)
    frame = frame[frame["configuration"].str.fullmatch("[01]{4}")]
    if frame.empty:
        return []
    with mpl.rc_context(STYLE):
        return write(_figure(frame), path.with_suffix(""), ("png", "svg"))


def _on_cpu(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows to draw; ``series`` says which bars are theirs."""
    chosen = frame[(frame["reference"] == "mmcv") & (frame["pass"] == PASS)]
    chosen = chosen.sort_values("threads", kind="stable")
    return chosen.assign(series="threads: " + chosen["threads"].astype(str))


def _on_gpu(frame: pd.DataFrame) -> pd.DataFrame:
    """Likewise; a time that failed on either side has no bar."""
    chosen = frame[frame["side"] == "mmcv"]
    series = [
        chosen.assign(series=f"{precision}, {way}", speedup=chosen[column])[
            chosen["precision"] == precision
        ]
        for precision in chosen["precision"].unique()
        for way, column in (("eager", "eager_ratio"), ("as one graph", "graph_ratio"))
    ]
    return pd.concat([chosen.assign(series="", speedup=math.nan)[:0], *series]).dropna(
        subset="speedup"
    )


def _figure(frame: pd.DataFrame) -> Figure:
    settings = frame[["place", "kv_stride"]].drop_duplicates().itertuples(index=False)
    groups = [
        (
            f"{place}, every position a key" if stride == 1 else f"{place}, key stride {stride}",
            frame[(frame["place"] == place) & (frame["kv_stride"] == stride)],
        )
        for place, stride in settings
    ]
    columns = min(len(groups), 2)
    rows = math.ceil(len(groups) / columns)
    size = (PANEL[0] * columns, PANEL[1] * rows + 0.7)
    image = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(image)
    image.suptitle(
        "Speed beside mmcv's GeneralizedAttention, forward and backward",
        fontsize=10,
        fontweight="bold",
        x=0.1 / size[0],
        ha="left",
    )
    grid = image.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(groups) :]:
        axes.remove()
    for axes, (title, group) in zip(grid, groups, strict=False):
        _panel(axes, title, group, list(frame["series"].unique()))
        # One scale, so that panels compare; room for a number over the highest bar.
        axes.set_ylim(min(frame["speedup"].min(), 1) / 1.15, frame["speedup"].max() * 2)
    handles, labels = grid[0].get_legend_handles_labels()
    image.legend(handles, labels, frameon=False, fontsize=7, loc="upper right", ncols=len(labels))
    image.supxlabel(_note(frame), fontsize=6, color="#555555", x=0.1 / size[0], ha="left")
    return image


def _panel(axes: Axes, title: str, group: pd.DataFrame, series: list[str]) -> None:
    means = []
    names = sorted(group["configuration"].unique())
    width = 0.8 / len(series)
    for index, each in enumerate(series):
        own = group[group["series"] == each].set_index("configuration")["speedup"]
        own = own.sort_index()
        if not own.empty:
            means.append(f"{np.exp(np.log(own).mean()):.1f}")
        at = np.searchsorted(names, own.index) - 0.4 + width * (index + 0.5)
        # Bars start at 1: one that points down is a configuration that became slower.
        axes.bar(
            at,
            own - 1,
            width,
            bottom=1,
            color=COLOURS[index % len(COLOURS)],
            label=each,
        )
        for x, speedup in zip(at, own, strict=True):
            axes.text(
                x,
                max(speedup, 1) * 1.05,
                f"{speedup:.2g}" if speedup < 100 else f"{speedup:.0f}",
                fontsize=5,
                color="#444444",
                ha="center",
                va="bottom",
                rotation=90,
            )
    axes.axhline(1, color="#444444", lw=0.7)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(FixedLocator(TICKS))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=7)
    gridlines(axes)
    title += f": mean {' and '.join(means)}"
    axes.set_title(title, **PANEL_TITLE)


def _note(frame: pd.DataFrame) -> str:
    first = frame.iloc[0]
    device = first["gpu"] if "gpu" in frame else first["processor"]
    note = f"{device}, torch {first['torch']}, mmcv {first['onedl-mmcv']}."
    if "disturbed" in frame and frame["disturbed"].any():
        note += f" {int(frame['disturbed'].sum())} of {len(frame)} timings were disturbed."
    return note
