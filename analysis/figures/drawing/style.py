"""How every figure looks, and how it is written: the same bytes for the same runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.figures.drawing.svg import adapted
from study.files import write_text

__all__ = ["FORMATS", "PANEL_TITLE", "STYLE", "gridlines", "write"]

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the same on every machine
    "font.size": 8,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": "#222222",
    "axes.unicode_minus": False,  # one minus sign, that of tables and sentences
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "text.parse_math": False,  # a data card may have dollars in it
    "pdf.fonttype": 42,  # TrueType: publishers refuse Type 3
    "svg.hashsalt": "spatial-attention-study",
    "figure.dpi": 200,
    "savefig.dpi": 200,
}

PANEL_TITLE: dict[str, Any] = {"fontsize": 8, "loc": "left", "color": "#444444"}
"""Of a panel."""

FORMATS = ("png", "svg", "pdf")

# Write neither date nor version: files would differ from run to run and machine to machine.
METADATA: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def gridlines(axes: Axes, axis: Literal["x", "y"] = "y") -> None:
    """Draw pale lines at the ticks of an axis, behind everything else."""
    axes.grid(axis=axis, color="#E6E6E6", lw=0.6)
    axes.set_axisbelow(True)


def write(image: Figure, out: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write ``<out>.<format>`` for each format, folders included; call it within `STYLE`.

    The label of a figure (``Figure.set_label``) is its caption, written as ``<out>.txt``. An SVG is
    transparent and has the colours of the page it stands on.

    Returns
    -------
    list of Path
        The files, in the order of `formats`, then that of the caption.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    paths = [out.with_name(f"{out.name}.{suffix}") for suffix in formats]
    for path, suffix in zip(paths, formats, strict=True):
        image.savefig(path, metadata=METADATA[suffix], transparent=suffix == "svg")
        if suffix == "svg":
            write_text(path, adapted(path.read_text(encoding="utf-8")))
    if caption := str(image.get_label()):
        paths.append(out.with_name(f"{out.name}.txt"))
        write_text(paths[-1], f"{caption}\n")
    return paths
