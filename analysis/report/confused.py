"""Which classes a run takes for which others, for its page."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from plugins.contracts.confusion import Confuses, Confusion
from plugins.contracts.names import UnknownName
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.runs.folder import RunFolder

__all__ = ["Cell", "Confused", "confused"]

MOST_CLASSES = 25
"""Of a matrix that can be read; of more classes only the largest confusions are told."""
TOLD = 10
SHADES = 9


@dataclass(frozen=True)
class Cell:
    """How many items of a class were taken for another; `shade` is 0 to 9 by their share."""

    count: int
    shade: int
    right: bool


@dataclass(frozen=True)
class Confused:
    """A confusion matrix, ready for a page.

    Attributes
    ----------
    classes: tuple of str
        What heads the columns; empty if there are too many.
    rows: list of (str, list of Cell)
        True classes, and what they were taken for.
    sentences: list of str
        The largest confusions, the largest first, or why there is none to tell.
    """

    classes: tuple[str, ...]
    rows: list[tuple[str, list[Cell]]]
    sentences: list[str]


def confused(folder: RunFolder, task: str) -> Confused | None:
    """Return the confusion matrix of a run, None if its task has none or it kept no items."""
    try:
        known = find_task(task)
    except UnknownName:
        return None
    if not isinstance(known, Confuses):
        return None
    try:
        items = folder.items
        return None if items is None else _shown(known.confusion(items))
    except (LookupError, TypeError, ValueError, StudyError) as error:
        return Confused((), [], [f"items.npz cannot be read: {error}"])


def _shown(found: Confusion) -> Confused:
    names, counts = found.classes, found.counts
    totals = counts.sum(axis=1)
    if len(names) > MOST_CLASSES:
        return Confused((), [], _sentences(found))
    shares = counts / np.maximum(totals, 1)[:, None]
    # Whatever is there at all can be seen.
    shades = np.ceil(SHADES * shares).astype(int)
    rows = [
        (name, [Cell(int(counts[i, j]), int(shades[i, j]), i == j) for j in range(len(names))])
        for i, name in enumerate(names)
    ]
    return Confused(names, rows, _sentences(found))


def _sentences(found: Confusion) -> list[str]:
    """Name the largest numbers beside the diagonal."""
    names, counts = found.classes, found.counts
    totals = counts.sum(axis=1)
    wrong = np.where(np.eye(len(names), dtype=bool), 0, counts)
    largest = np.argsort(-wrong, axis=None, kind="stable")[:TOLD]
    pairs = [(i, j) for i, j in (divmod(int(at), len(names)) for at in largest) if wrong[i, j]]
    if not pairs:
        return ["No class is taken for another."]
    return [
        f"{names[i]} is taken for {names[j]} in {wrong[i, j]} of {totals[i]}"
        f" ({wrong[i, j] / totals[i]:.0%})"
        for i, j in pairs
    ]
