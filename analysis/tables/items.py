"""What test items and seeds make of differences, as Markdown, CSV or JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.stats.items import Spread
from analysis.stats.metrics import fine
from analysis.tables.columns import ABSENT, interval, number, p_value, written
from analysis.tables.pipes import pipes
from analysis.tables.terminal import lay, say

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["RENDERERS", "csv", "json_text", "markdown", "show"]

FRONT = ("task", "data", "sites", "variant", "baseline")
OF = {"value": "a run's value", "difference": "a difference of two runs"}


def markdown(found: Sequence[Spread]) -> str:
    """Render two pipe tables each, differences and variances, under a heading, above its notes."""
    return "\n".join(
        f"### {spread.group.title}\n\n{pipes(*_differences(spread))}\n{pipes(*_split(spread))}\n"
        + "".join(f"- {note}\n" for note in spread.notes)
        for spread in found
    )


def csv(found: Sequence[Spread]) -> str:
    """Render one CSV of all differences; the standard deviations of a group stand in each row.

    Numbers are unrounded; lines that start with ``#`` are the notes.
    """
    comments = [f"# {s.group.title}: {note}\n" for s in found for note in s.notes]
    frames = []
    for spread in found:
        deviations = {
            f"{of}_sd_{part}": spread.split.at[of, part] for of in OF for part in spread.split
        }
        frames.append(spread.rows.assign(**_place(spread), **deviations))
    whole = pd.concat(frames).set_index([*FRONT, "metric", "items"])
    return "".join(comments) + whole.to_csv(lineterminator="\n", float_format="%.15g")


def json_text(found: Sequence[Spread]) -> str:
    """Render a list of groups with their ``rows``, the ``split`` of variances and the notes."""
    groups = [
        _place(spread)
        | {
            "rows": _records(spread.rows),
            "split": _records(spread.split.rename_axis("of").reset_index()),
            "notes": spread.notes,
        }
        for spread in found
    ]
    return json.dumps(groups, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def show(found: Sequence[Spread], screen: Screen) -> None:
    """Print the same tables so that they fit a terminal; differences beyond both are in bold."""
    for spread in found:
        rows = spread.rows
        told = (rows["both_low"] > 0) | (rows["both_high"] < 0)
        strong = [place for place, beyond in enumerate(told) if beyond]
        lay(screen, spread.group.title, *_differences(spread), strong=strong)
        lay(screen, "", *_split(spread))
        say(screen, spread.notes)


RENDERERS: dict[str, Callable[[Sequence[Spread]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json_text,
}


def _place(spread: Spread) -> dict[str, object]:
    group = spread.group
    place = {key: getattr(group, key) for key in FRONT}
    return place | {"metric": group.metric.name, "items": spread.sampled.count}


def _records(frame: pd.DataFrame) -> list[dict[str, object]]:
    """Return rows; numbers that JSON does not have become null."""
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def _differences(spread: Spread) -> tuple[list[str], list[list[str]]]:
    group, rows = spread.group, spread.rows
    metric = group.metric
    header = ["mechanism", "n", metric.shown, f"Δ {group.baseline}"]
    header += ["95 % over items", "over seeds", "over both", "p (items)"]
    means = written(rows["mean"], metric.format)
    cells = [
        [
            row.mechanism,
            str(row.n),
            mean,
            "baseline" if row.mechanism == group.baseline else number(row.difference, metric),
            interval(row.items_low, row.items_high, metric),
            interval(row.seeds_low, row.seeds_high, metric),
            interval(row.both_low, row.both_high, metric),
            p_value(row.p),
        ]
        for row, mean in zip(rows.itertuples(index=False), means, strict=True)
    ]
    return header, cells


def _split(spread: Spread) -> tuple[list[str], list[list[str]]]:
    metric = spread.group.metric
    header = [f"sd in {metric.shown}, share of variance", "all", "seeds", "test items"]
    cells = []
    for of, deviations in spread.split.iterrows():
        total = float((deviations**2).sum())
        if deviations.isna().all():
            continue
        shown = [
            ABSENT if math.isnan(sd) else f"{fine(metric, sd)}, {sd**2 / total if total else 0:.0%}"
            for sd in deviations
        ]
        cells.append([OF[str(of)], fine(metric, math.sqrt(total)), *shown])
    return [*header, "seeds × items"], cells
