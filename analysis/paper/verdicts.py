"""The verdicts on the paper's claims as one forest plot, in units of what makes no difference.

One axis for all claims, so that their effects and intervals can be compared with each other.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import blended_transform_factory

from analysis.figures.drawing.form import form
from analysis.figures.drawing.page import GREY, data, filled, page
from analysis.figures.drawing.style import STYLE, gridlines, write
from analysis.figures.drawing.ticks import InUnit
from analysis.figures.kind import Kind
from analysis.stats.claims import Verdict, judge, load
from analysis.stats.group import Group
from analysis.stats.metrics import fine
from analysis.stats.verdicts import claimed

__all__ = ["VERDICTS", "draw", "figure", "shown"]

SIGNS: dict[str, dict[str, Any]] = {
    "supported": {"color": "#0072B2", "marker": "o"},
    "contradicted": {"color": "#D55E00", "marker": "X"},
    "inconclusive": {"color": "#7A7A7A", "marker": "D", "markerfacecolor": "white"},
}
"""Colour and shape of each verdict: either alone tells which it is."""

SHADE = "#DADADA"
USUAL_WIDTH = 7.2  # inches
WIDE = 5.0  # inches from which on statements stand beside the axis, not in the caption alone
STATEMENT = 2.9  # inches of a statement
ROW, LINE = 0.2, 0.13  # inches of a row, and of each further line in it
AROUND = 1.1  # inches above and below the rows
FAR, NEAR = 8.0, 2.0  # margins: an axis that reaches beyond FAR is linear up to NEAR
TICKS = (-1000, -100, -10, -2, -1, 0, 1, 2, 10, 100, 1000)
FONT_SIZE = 7.0


def shown(groups: Sequence[Group]) -> list[Verdict]:
    """Return the verdicts with an interval and a margin, that of the form or the usual one."""
    return [
        verdict
        for verdict in judge(groups, load((), form().margins))
        if math.isfinite(verdict.high - verdict.low) and verdict.claim.margins.get(verdict.metric)
    ]


def draw(groups: Sequence[Group], out: Path) -> list[Path]:
    """Write ``verdicts.png``, ``.svg``, ``.pdf`` and the caption if there is a verdict to show."""
    found = shown(groups)
    if not found:
        return []
    with mpl.rc_context(STYLE):
        return write(figure(found), out / "verdicts")


def figure(found: Sequence[Verdict]) -> Figure:
    """Draw a row a verdict; call it within `analysis.figures.drawing.style.STYLE`."""
    width = _width()
    several = len({verdict.title for verdict in found}) > 1
    names = [_name(verdict, several, width >= WIDE) for verdict in found]
    tall = [ROW + LINE * name.count("\n") for name in names]
    height = sum(tall) + AROUND
    counts = Counter(str(verdict.verdict) for verdict in found)
    said = ", ".join(f"{counts[word]} {word}" for word in SIGNS if counts[word])
    image, (axes,) = page(
        "Verdicts on the paper's claims",
        1,
        _notes(found),
        (width, height),
        caption=f"Verdicts on the paper's claims that these runs test: {said}.",
        least=height,
    )
    at = []
    top = 0.0
    for each in tall:
        at.append(-(top + each / 2))
        top += each
    _rows(axes, found, at, tall)
    axes.set_yticks(at, names, fontsize=FONT_SIZE)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(-top - 0.05, 0.05)
    axes.spines["left"].set_visible(False)
    image.legend(
        handles=[
            Line2D([], [], lw=1.4, ms=5.5, label=word, **sign)
            for word, sign in SIGNS.items()
            if counts[word]
        ],
        loc="outside upper right",
        ncols=3,
        columnspacing=1.2,
        handlelength=1.6,
        handletextpad=0.4,
        frameon=False,
        fontsize=FONT_SIZE,
    )
    return image


def _rows(axes: Axes, found: Sequence[Verdict], at: Sequence[float], tall: Sequence[float]) -> None:
    aside = blended_transform_factory(axes.transAxes, axes.transData)
    spans = [_in_margins(verdict, verdict.low, verdict.high) for verdict in found]
    far = max(abs(end) for span in spans for end in span)
    logarithmic = far > FAR
    far = max(1.5 * far if logarithmic else 1.1 * far, 1.1 * NEAR)
    low, high = (-far if min(map(min, spans)) < -NEAR else -1.1 * NEAR), far
    if logarithmic:
        axes.set_xscale("symlog", linthresh=NEAR, linscale=1.2)
        axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
        axes.xaxis.set_major_formatter(InUnit())
        axes.minorticks_off()
    axes.set_xlim(low, high)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", "\N{MINUS SIGN}"))
    for verdict, height, each, span in zip(found, at, tall, spans, strict=True):
        assert verdict.group is not None  # or nothing was judged
        sign, metric = SIGNS[verdict.verdict], verdict.group.metric
        kind = verdict.deciding.kind
        assert kind
        bounds = _in_margins(verdict, *claimed(kind, verdict.margin, metric))
        left, right = max(bounds[0], low), min(bounds[1], high)
        axes.fill_between(
            [left, right], height - 0.42 * each, height + 0.42 * each, color=SHADE, lw=0, zorder=0
        )
        axes.plot(span, [height] * 2, color=sign["color"], lw=1.6, solid_capstyle="butt")
        (effect,) = _in_margins(verdict, verdict.effect)
        axes.plot(effect, height, ms=5.5, zorder=3, **sign)
        axes.text(
            *(1.01, height, f"{fine(metric, verdict.effect, signed=True)} {metric.name}"),
            transform=aside, fontsize=FONT_SIZE, va="center", color=GREY,
        )  # fmt: skip
    axes.axvline(0, color="#444444", lw=0.8, zorder=1)
    gridlines(axes, "x")
    log = f"\n(logarithmic beyond ±{NEAR:g})" if logarithmic else ""
    axes.set_xlabel(f"effect in margins, better to the right{log}")


def _in_margins(verdict: Verdict, *values: float) -> tuple[float, ...]:
    """Return amounts of the metric in units of the margin, ascending, better on the right."""
    assert verdict.group is not None
    unit = verdict.group.metric.sign * verdict.claim.margins[verdict.metric]
    return tuple(sorted(value / unit for value in values))


def _width() -> float:
    return form().width or USUAL_WIDTH


def _name(verdict: Verdict, several: bool, wide: bool) -> str:
    sites = f" ({verdict.where['sites']})" if several else ""
    if not wide:
        return f"{verdict.claim.id}{sites}"
    text = f"{verdict.claim.id}{sites}  {verdict.claim.statement}"
    return "\n".join(filled(text, STATEMENT, FONT_SIZE))


def _notes(found: Sequence[Verdict]) -> list[str]:
    margins = dict.fromkeys(f"{v.claim.margins[v.metric]:g} {v.metric}" for v in found)
    groups = [verdict.group for verdict in found if verdict.group is not None]
    lines = [f"{v.claim.id}, {v.title}: {v.verdict}. {v.claim.statement}" for v in found]
    return [
        *data(groups),
        f"Dot and line: effect and 90 % interval of the test that decides; grey: where the claim "
        f"says that it lies. One margin: {', '.join(margins)}. Claims on cost are not drawn.",
        *(lines if _width() < WIDE else []),
    ]


VERDICTS = Kind(
    "Verdicts on the paper's claims",
    "a claim that the runs test, with two seeds of its mechanisms",
    draw,
    rank=25,
)
