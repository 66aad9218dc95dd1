"""Summaries together with the runs that they stand for."""

from __future__ import annotations

import pandas as pd

from analysis.stats import contrasts
from analysis.stats.summary import Summary, summarise

__all__ = ["Group", "groups"]

Group = tuple[Summary, pd.DataFrame]
"""A summary, and its finished runs: rows of the runs table."""


def groups(frame: pd.DataFrame, baseline: str | None) -> list[Group]:
    """Summarise a runs table; leave out what has no finished run.

    Raises
    ------
    StudyError
        If two runs fill the same cell, or runs of one summary name different metrics.
    """
    runs = {(g.task, g.data, g.sites, g.variant): g.runs for g in contrasts.groups(frame)}
    summaries = [s for s in summarise(frame, baseline) if s.rows["n"].any()]
    return [(s, runs[s.task, s.data, s.sites, s.variant]) for s in summaries]
