"""Groups as Markdown, CSV or LaTeX: one table per (task, data, sites).

Markdown and LaTeX are for people: columns share a unit that their header names, and ``-`` stands
for a number that does not exist. CSV is for programs: all tables in one, unrounded numbers in base
units (MACs, parameters, seconds, bytes), empty where there is none. The notes follow the table as
a list (Markdown), as a paragraph (LaTeX), or precede everything as lines that start with ``#``
(CSV; ``pandas.read_csv(..., comment="#")`` skips them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from analysis.stats.group import Group
from analysis.tables.columns import columns
from analysis.tables.latex import latex
from analysis.tables.pipes import pipes

__all__ = ["RENDERERS", "csv", "latex", "markdown"]


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
