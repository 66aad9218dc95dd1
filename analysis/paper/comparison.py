"""What the comparisons of two mechanisms share: rows, differences, pages, text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from analysis.figures.drawing.page import pages
from analysis.figures.drawing.style import STYLE, write
from analysis.stats.group import Group
from analysis.stats.means import CONFIDENCE
from analysis.tables.columns import written
from analysis.tables.pipes import pipes
from study.files import write_text
from study.units import giga

__all__ = ["COLUMNS", "draw", "markdown", "row"]

OF_MECHANISM = ("n", "mean", "half_width", "mechanism_macs")

COLUMNS = ("mechanism", *OF_MECHANISM, "difference", "difference_half_width")
"""What `row` returns and a comparison shows."""

Front = Mapping[str, Callable[[Any], str]]
"""Columns that come first in the text, and how their values are written."""


def row(group: Group, mechanism: str, reference: str) -> dict[str, Any]:
    """Return a comparison's row for a mechanism.

    Returns
    -------
    dict of str to object
        `COLUMNS`, as of `Group.rows`, with the difference to `reference`: NaN if that is the
        mechanism itself or has no run.
    """
    own = group.means.loc[mechanism, [*OF_MECHANISM]].to_dict()
    estimate = group.difference(mechanism, None if reference == mechanism else reference)
    return {
        "mechanism": mechanism,
        **own,
        "n": group.seeds[mechanism],
        "difference": estimate.effect,
        "difference_half_width": estimate.half_width(CONFIDENCE),
    }


def draw(
    groups: Sequence[Group],
    out: Path,
    name: str,
    rows: Callable[[Group], pd.DataFrame],
    figure: Callable[[Sequence[tuple[Group, pd.DataFrame]], str], Figure],
    front: Front,
    against: str,
) -> list[Path]:
    """Write ``<task>-<data>-<name>`` as figure and as ``.md``, for groups that have rows.

    Parameters
    ----------
    groups, out, name
        What to compare, the folder to write into, and the name of the comparison.
    rows: callable
        ``rows(group)`` returns the columns of `front`, and `COLUMNS`.
    figure: callable
        ``figure(compared, heading)`` draws groups with their rows.
    front, against
        See `markdown`.
    """
    tables = {group: table for group in groups if len(table := rows(group))}
    written = []
    for stem, heading, members in pages([*tables]):
        chosen = [(group, tables[group]) for group in members]
        path = out / f"{stem}-{name}"
        with mpl.rc_context(STYLE):
            written += write(figure(chosen, heading), path)
        text = path.with_name(f"{path.name}.md")
        write_text(text, "\n".join(markdown(*each, front, against) for each in chosen))
        written.append(text)
    return written


def markdown(group: Group, rows: pd.DataFrame, front: Front, against: str) -> str:
    """Render rows as a pipe table under a heading.

    Parameters
    ----------
    group: Group
        Whose rows they are.
    rows: pandas.DataFrame
        `COLUMNS`, and those of `front`.
    front: Front
        Columns that come first.
    against: str
        The reference of the difference, in words.
    """
    metric = group.metric.format
    shown = pd.DataFrame(
        {
            **{column: [*map(text, rows[column])] for column, text in front.items()},
            "mechanism": rows["mechanism"],
            "n": rows["n"].astype(str),
            group.metric.shown: written(rows["mean"], metric),
            "± 95 %": written(rows["half_width"], metric),
            f"Δ {against}": written(rows["difference"], partial(metric, signed=True)),
            "Δ ± 95 %": written(rows["difference_half_width"], metric),
            "MACs (G)": written(rows["mechanism_macs"], giga),
        }
    )
    notes = [
        "± 95 %: half the interval of a mean by its own n seeds (Student's t); the bars of figures "
        "are by the model of all mechanisms.",
        f"Δ: difference to {against}, by the model of all mechanisms (seeds are blocks; "
        "docs/statistics.md).",
    ]
    if rows["n"].max() == 1:
        notes.append("One seed: differences between rows cannot be told from noise.")
    body = pipes(list(shown), shown.to_numpy().tolist(), left=len(front) + 1)
    listed = "".join(f"- {note}\n" for note in notes)
    return f"### {group.title}\n\n{body}\n{listed}"
