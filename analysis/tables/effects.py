"""Effects as Markdown, CSV or LaTeX, like the tables of `analysis.tables.table`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.stats.effects import MEANINGS, Effects
from analysis.tables.columns import ABSENT, interval, number, p_value
from analysis.tables.latex import HEAD, booktabs
from analysis.tables.pipes import pipes
from analysis.tables.terminal import lay, say
from study.units import giga

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["RENDERERS", "cells", "csv", "latex", "markdown", "show"]

SURELY = 0.05
"""p below which an effect is in bold."""


def markdown(found: Sequence[Effects]) -> str:
    """Render pipe tables, each under a heading and above its notes."""
    return "\n".join(
        f"### {effects.group.title}\n\n{pipes(*cells(effects))}\n"
        + "".join(f"- {note}\n" for note in effects.notes)
        for effects in found
    )


def latex(found: Sequence[Effects]) -> str:
    """Render ``table`` floats; the document needs the packages booktabs and graphicx."""
    floats = []
    for effects in found:
        header, rows = cells(effects)
        pairs = [("", name) for name in header]
        floats.append(booktabs(f"Effects: {effects.group.title}", pairs, rows, effects.notes))
    return HEAD + "\n".join(floats)


def csv(found: Sequence[Effects]) -> str:
    """Render one CSV of all rows, after task, data, sites, variant, metric and runs.

    Numbers are unrounded; lines that start with ``#`` are the notes.
    """
    comments = [f"# {e.group.title}: {note}\n" for e in found for note in e.notes]
    front = ["task", "data", "sites", "variant", "metric", "runs"]
    frames = []
    for effects in found:
        place = {key: getattr(effects.group, key) for key in front[:4]}
        place |= {"metric": effects.group.metric.name, "runs": effects.n}
        frames.append(effects.rows.assign(**place))
    whole = pd.concat(frames).set_index(front)
    return "".join(comments) + whole.to_csv(lineterminator="\n", float_format="%.15g")


def show(found: Sequence[Effects], screen: Screen) -> None:
    """Print tables that fit a terminal; effects whose p is below 0.05 are in bold."""
    for effects in found:
        header, rows = cells(effects)
        p = effects.rows["p"].where(effects.rows["kind"] == "module", effects.rows["holm"])
        strong = [place for place, value in enumerate(p) if value < SURELY]
        lay(screen, effects.group.title, header, rows, strong=strong)
        say(screen, effects.notes)


RENDERERS: dict[str, Callable[[Sequence[Effects]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
}


def cells(effects: Effects) -> tuple[list[str], list[list[str]]]:
    """Return header and rows as people read them."""
    metric = effects.group.metric
    by_seed = bool(effects.rows["seed_low"].notna().any())
    header = ["effect", f"on {metric.shown}", "95 % interval", *["95 % by seed"] * by_seed]
    header += ["p (Holm)", "MACs (G)", "MACs (G) per point"]
    rows = [
        [
            f"{row.name} {MEANINGS[row.name]}" if row.name in MEANINGS else row.name,
            number(row.effect, metric),
            interval(row.low, row.high, metric),
            *[interval(row.seed_low, row.seed_high, metric)] * by_seed,
            p_value(row.p if row.kind == "module" else row.holm),
            _macs(row.macs, signed=True),
            _macs(row.macs_per_point),
        ]
        for row in effects.rows.itertuples(index=False)
    ]
    return header, rows


def _macs(value: float, signed: bool = False) -> str:
    return ABSENT if math.isnan(value) else giga(value, signed)
