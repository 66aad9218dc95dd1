"""Effects as Markdown, CSV or LaTeX, like the tables of `analysis.tables.table`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pandas as pd

from analysis.stats.contrasts import POINTS, number
from analysis.stats.effects import Effects
from analysis.tables.columns import ABSENT
from analysis.tables.latex import HEAD, booktabs
from analysis.tables.pipes import pipes

__all__ = ["MEANINGS", "RENDERERS", "csv", "latex", "markdown"]

MEANINGS = {
    "E1": "query-key content",
    "E2": "query content, position",
    "E3": "key content",
    "E4": "position",
    "module": "all term sets - none",
}
"""What the rows of effects are, in words."""


def markdown(found: Sequence[Effects]) -> str:
    """Render pipe tables, each under a heading and above its notes."""
    return "\n".join(
        f"### {effects.title}\n\n{pipes(*_cells(effects))}\n"
        + "".join(f"- {note}\n" for note in effects.notes)
        for effects in found
    )


def latex(found: Sequence[Effects]) -> str:
    """Render ``table`` floats; the document needs the packages booktabs and graphicx."""
    floats = []
    for effects in found:
        header, rows = _cells(effects)
        pairs = [("", name) for name in header]
        floats.append(booktabs(f"Effects: {effects.title}", pairs, rows, effects.notes))
    return HEAD + "\n".join(floats)


def csv(found: Sequence[Effects]) -> str:
    """Render one CSV of all rows, after task, data, sites, variant, metric and runs.

    Numbers are unrounded; lines that start with ``#`` are the notes.
    """
    comments = [f"# {e.title}: {note}\n" for e in found for note in e.notes]
    front = ["task", "data", "sites", "variant", "metric", "runs"]
    places = [(e.task, e.data, e.sites, e.variant, e.metric, e.n) for e in found]
    frames = [
        e.rows.assign(**dict(zip(front, place, strict=True)))
        for e, place in zip(found, places, strict=True)
    ]
    whole = pd.concat(frames).set_index(front)
    return "".join(comments) + whole.to_csv(lineterminator="\n", float_format="%.15g")


RENDERERS: dict[str, Callable[[Sequence[Effects]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
}


def _cells(effects: Effects) -> tuple[list[str], list[list[str]]]:
    """Return header and rows as people read them."""
    metric = effects.metric
    point = POINTS.get(metric, 1.0)
    header = [
        *("effect", f"on {metric}", "95 % interval", "p (Holm)", "MACs"),
        f"MACs per {metric}" if point == 1 else f"MACs per {point:g} {metric}",
    ]
    rows = [
        [
            f"{row.name} {MEANINGS[row.name]}" if row.name in MEANINGS else row.name,
            ABSENT if math.isnan(row.effect) else number(row.effect, metric),
            _interval(row.low, row.high, metric),
            _p(row.p if row.kind == "module" else row.holm),
            _macs(row.macs, "+"),
            _macs(row.macs_per_point),
        ]
        for row in effects.rows.itertuples(index=False)
    ]
    return header, rows


def _interval(low: float, high: float, metric: str) -> str:
    if math.isnan(low):
        return ABSENT
    return f"{number(low, metric)} to {number(high, metric)}"


def _p(value: float) -> str:
    if math.isnan(value):
        return ABSENT
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _macs(value: float, sign: str = "") -> str:
    if math.isnan(value):
        return ABSENT
    for scale, prefix in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= scale:
            return f"{value / scale:{sign}.3g}{prefix}"
    return f"{value:{sign}.3g}" if value else "0"
