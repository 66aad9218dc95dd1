"""Rankings as Markdown, CSV or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.stats.aggregates.ranking import Ranking
from analysis.tables.columns import ABSENT
from analysis.tables.pipes import pipes
from analysis.tables.terminal import lay, say

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["RENDERERS", "csv", "json_text", "markdown", "show"]


WIDE = ("groups", "least to most")
"""Columns that a terminal has no room for."""


def markdown(found: Sequence[Ranking]) -> str:
    """Render pipe tables, each under a heading, the first with all notes below it."""
    parts = [f"### {each.title}\n\n{pipes(*_cells(each))}" for each in found]
    parts[0] += "\n" + "".join(f"- {note}\n" for note in found[0].notes)
    return "\n".join(parts)


def csv(found: Sequence[Ranking]) -> str:
    """Render one CSV of all rows; ``over`` says of what. Lines that start with # are the notes."""
    comments = [f"# {note}\n" for note in found[0].notes]
    return "".join(comments) + _rows(found).to_csv(
        index=False, lineterminator="\n", float_format="%.15g"
    )


def json_text(found: Sequence[Ranking]) -> str:
    """Render ``{"baseline": ..., "notes": [...], "rows": [...]}``; null is a missing number."""
    # pandas turns NaN into null, which dict and json do not.
    rows = json.loads(_rows(found).to_json(orient="records", double_precision=15))
    first = found[0]
    whole = {"baseline": first.baseline, "notes": first.notes, "rows": rows}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def show(found: Sequence[Ranking], screen: Screen) -> None:
    """Print tables that fit a terminal; what may be best is in bold."""
    for each in found:
        header, rows = _cells(each)
        kept = [
            place for place, name in enumerate(header) if name not in ("groups", "least to most")
        ]
        header, *rows = [[row[place] for place in kept] for row in (header, *rows)]
        strong = [place for place, low in enumerate(each.rows["rank_low"]) if low <= 1]
        lay(screen, each.title, header, rows, strong=strong)
    say(screen, found[0].notes)


RENDERERS: dict[str, Callable[[Sequence[Ranking]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json_text,
}


def _rows(found: Sequence[Ranking]) -> pd.DataFrame:
    frames = [each.rows.assign(over=each.title) for each in found]
    whole = pd.concat(frames, ignore_index=True)
    return whole[["over", *whole.columns.drop("over")]]


def _cells(found: Ranking) -> tuple[list[str], list[list[str]]]:
    """Return header and rows as people read them."""
    several = len(found.groups) > 1
    header = ["mechanism", "groups", f"gain over {found.baseline}, margins", "95 % interval"]
    header += ["least to most"] * several
    header += ["rank", "95 % interval", f"P(better than {found.baseline})", "95 % interval"]
    rows = []
    for row in found.rows.itertuples(index=False):
        same = row.mechanism == found.baseline
        rows.append(
            [
                row.mechanism,
                str(row.groups),
                "baseline" if same else _number(row.gain, "+.1f"),
                _interval(row.low, row.high, "+.1f"),
                *[ABSENT if same else _interval(row.least, row.most, "+.1f")] * several,
                _number(row.rank, ".3g"),
                _interval(row.rank_low, row.rank_high, ".3g"),
                _number(row.improvement, ".2f"),
                _interval(row.improvement_low, row.improvement_high, ".2f"),
            ]
        )
    return header, rows


def _number(value: float, form: str) -> str:
    return ABSENT if math.isnan(value) else f"{value:{form}}"


def _interval(low: float, high: float, form: str) -> str:
    return ABSENT if math.isnan(low) else f"{low:{form}} to {high:{form}}"
