"""What the comparisons of two mechanisms share: a row a run, differences on common seeds, text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.columns import ABSENT
from analysis.figures.groups import Group
from analysis.figures.panel import MACS
from analysis.pipes import pipes
from analysis.summary import half_width

__all__ = ["cells", "difference", "markdown", "save"]


def cells(group: Group, mechanism: str) -> dict[str, object]:
    """Return what a row says of a mechanism: its word, n, mean, half_width and mechanism_macs."""
    rows = group[0].rows
    (row,) = rows[rows["mechanism"] == mechanism].to_dict("records")
    return {key: row[key] for key in ("mechanism", "n", "mean", "half_width", "mechanism_macs")}


def difference(group: Group, mechanism: str, reference: str | None) -> dict[str, float]:
    """Subtract `reference` from `mechanism`, seed by seed.

    Returns
    -------
    dict of str to float
        ``difference``, the mean over the seeds that both have, and ``difference_half_width`` of
        its 95 % confidence interval. NaN where there is nothing to subtract.
    """
    by_seed = {m: own.set_index("seed")["value"] for m, own in group[1].groupby("mechanism")}
    names = ("difference", "difference_half_width")
    if reference == mechanism or reference not in by_seed:
        return dict.fromkeys(names, math.nan)
    paired = (by_seed[mechanism] - by_seed[reference]).dropna()
    return dict(zip(names, (paired.mean(), half_width(paired.tolist())), strict=True))


def markdown(group: Group, rows: pd.DataFrame, front: Sequence[str], against: str) -> str:
    """Render rows as a pipe table under a heading.

    Parameters
    ----------
    group: Group
        Whose rows they are.
    rows: pandas.DataFrame
        The columns of :func:`cells` and :func:`difference`, and those of `front`.
    front: sequence of str
        Columns of text that come first.
    against: str
        What the difference is to.
    """
    summary = group[0]
    places = 3 if not rows["mean"].max() > 1 else 2
    size, unit = MACS.unit(rows["mechanism_macs"])

    def fixed(column: str, form: str) -> list[str]:
        return [ABSENT if math.isnan(value) else f"{value:{form}}" for value in rows[column]]

    shown = pd.DataFrame(
        {
            **{column: rows[column] for column in front},
            "mechanism": rows["mechanism"],
            "n": rows["n"].astype(str),
            summary.metric: fixed("mean", f".{places}f"),
            "± 95 %": fixed("half_width", f".{places}f"),
            f"Δ {against}": fixed("difference", f"+.{places}f"),
            "Δ ± 95 %": fixed("difference_half_width", f".{places}f"),
            f"MACs ({unit})": [
                ABSENT if math.isnan(value) else f"{value / size:.2f}"
                for value in rows["mechanism_macs"]
            ],
        }
    )
    notes = [f"Δ: mean difference to {against} on common seeds."]
    if rows["n"].max() == 1:
        notes.append("One seed: differences between rows cannot be told from noise.")
    body = pipes(list(shown), shown.to_numpy().tolist(), left=len(front) + 1)
    listed = "".join(f"- {note}\n" for note in notes)
    return f"### {summary.title}\n\n{body}\n{listed}"


def save(
    out: Path, compared: Sequence[tuple[Group, pd.DataFrame]], front: Sequence[str], against: str
) -> Path:
    """Write the tables of several groups into ``<out>.md``."""
    path = out.with_name(f"{out.name}.md")
    tables = [markdown(group, rows, front, against) for group, rows in compared]
    path.write_text("\n".join(tables), encoding="utf-8")
    return path
