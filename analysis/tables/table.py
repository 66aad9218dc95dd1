"""Summaries as Markdown, CSV or LaTeX: one table per (task, data, sites).

Markdown and LaTeX are for people: columns share a unit that their header names, and ``-`` stands
for a number that does not exist. CSV is for programs: all tables in one, unrounded numbers in base
units (MACs, parameters, seconds, bytes), empty where there is none. The notes follow the table as
a list (Markdown), as a paragraph (LaTeX), or precede everything as lines that start with ``#``
(CSV; ``pandas.read_csv(..., comment="#")`` skips them).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd

from analysis.stats.summary import Summary
from analysis.tables.columns import columns
from analysis.tables.latex import latex
from analysis.tables.pipes import pipes

__all__ = ["RENDERERS", "csv", "latex", "markdown"]


def markdown(summaries: Sequence[Summary]) -> str:
    """Render pipe tables, each under a heading and above its notes."""
    return "\n".join(_markdown(summary) for summary in summaries)


def csv(summaries: Sequence[Summary]) -> str:
    """Render one CSV of all summaries: their rows after task, data, sites, variant and metric."""
    comments = [f"# {s.title}: {note}\n" for s in summaries for note in s.notes]
    frames = []
    for s in summaries:
        place = {"task": s.task, "data": s.data, "sites": s.sites, "variant": s.variant}
        frames.append(s.rows.assign(**place, metric=s.metric, baseline=s.baseline))
    front = ["task", "data", "sites", "variant", "metric", "baseline"]
    whole = pd.concat(frames).set_index(front)
    return "".join(comments) + whole.to_csv(lineterminator="\n", float_format="%.15g")


RENDERERS: dict[str, Callable[[Sequence[Summary]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "latex": latex,
}


def _markdown(summary: Summary) -> str:
    shown = columns(summary)
    shown.columns = [" ".join(filter(None, pair)) for pair in shown.columns]
    body = pipes(list(shown), shown.to_numpy().tolist())
    notes = "".join(f"- {note}\n" for note in summary.notes)
    return f"### {summary.title}\n\n{body}\n{notes}"
