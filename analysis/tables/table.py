"""Groups as Markdown, CSV or LaTeX: one table per (task, data, sites).

Markdown and LaTeX are for people: columns share a unit that their header names, and ``-`` stands
for a number that does not exist. CSV is for programs: all tables in one, unrounded numbers in base
units (MACs, parameters, seconds, bytes), empty where there is none. The notes follow the table as
a list (Markdown), as a paragraph (LaTeX), or precede everything as lines that start with ``#``
(CSV; ``pandas.read_csv(..., comment="#")`` skips them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from analysis.stats.group import Group
from analysis.tables.columns import columns
from analysis.tables.latex import latex
from analysis.tables.pipes import pipes
from analysis.tables.terminal import lay, say

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["RENDERERS", "csv", "latex", "markdown", "show"]


def markdown(groups: Sequence[Group]) -> str:
    """Render pipe tables, each under a heading and above its notes."""
    return "\n".join(_markdown(group) for group in groups)


def csv(groups: Sequence[Group]) -> str:
    """Render one CSV of all groups: their rows after task, data, sites, variant and metric."""
    comments = [f"# {group.title}: {note}\n" for group in groups for note in group.notes]
    front = ["task", "data", "sites", "variant", "metric", "baseline"]
    frames = []
    for group in groups:
        place = {key: getattr(group, key) for key in front} | {"metric": group.metric.name}
        frames.append(group.rows.assign(**place))
    whole = pd.concat(frames).set_index(front)
    return "".join(comments) + whole.to_csv(lineterminator="\n", float_format="%.15g")


def show(groups: Sequence[Group], screen: Screen, wide: bool = False) -> None:
    """Print tables that fit a terminal, the best value in bold; `wide` ones have every column."""
    for group in groups:
        shown = columns(group)
        if not wide:
            delta = f"Δ {group.baseline}"
            metric = group.metric.shown or "metric"
            kept = [("", "mechanism"), ("", "n"), (metric, ""), (delta, ""), (delta, "±")]
            kept += [pair for pair in shown.columns if pair[0] == "MACs" and "mech." in pair[1]]
            shown = shown[[pair for pair in kept if pair in shown.columns]]
        header = [" ".join(filter(None, pair)) for pair in shown.columns]
        best = (group.metric.sign * group.rows["mean"]).max()
        strong = [
            place
            for place, mean in enumerate(group.rows["mean"])
            if best == group.metric.sign * mean
        ]
        lay(screen, group.title, header, shown.to_numpy().tolist(), strong=strong)
        say(screen, group.notes)


RENDERERS: dict[str, Callable[[Sequence[Group]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
}


def _markdown(group: Group) -> str:
    shown = columns(group)
    shown.columns = [" ".join(filter(None, pair)) for pair in shown.columns]
    body = pipes(list(shown), shown.to_numpy().tolist())
    notes = "".join(f"- {note}\n" for note in group.notes)
    return f"### {group.title}\n\n{body}\n{notes}"
