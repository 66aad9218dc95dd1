"""The verdicts as the first page shows them: all that ``study claims`` says of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from analysis.registered.standing import registrations
from analysis.report.front.overview import UNUSABLE, trouble
from analysis.stats.claims import Claim, Verdict, holm, judge
from analysis.stats.group import groups
from analysis.tables.claims import ORDER, beneath, cells, chance

__all__ = ["Judged", "Told", "judged"]


@dataclass(frozen=True)
class Told:
    """A verdict, and its numbers by name as people read them."""

    verdict: Verdict
    numbers: dict[str, str]


@dataclass(frozen=True)
class Judged:
    """The verdicts, as the first page shows them.

    Attributes
    ----------
    tested: list
        Claims that the runs test, with their verdicts.
    untested: list of Verdict
        Verdicts of the claims that the runs do not test.
    counts: list
        How many verdicts of each kind there are.
    registered: list of str
        What was registered before the runs.
    chances: list of str
        How often verdicts err.
    notes: list of str
        What comparisons must be read with.
    troubles: list of str
        Why there are no verdicts.
    """

    tested: list[tuple[Claim, list[Told]]] = field(default_factory=list)
    untested: list[Verdict] = field(default_factory=list)
    counts: list[tuple[str, int]] = field(default_factory=list)
    registered: list[str] = field(default_factory=list)
    chances: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def found(self) -> list[Verdict]:
        """The verdicts on the claims that were tested."""
        return [each.verdict for _, told in self.tested for each in told]


def judged(frame: pd.DataFrame, claims: Sequence[Claim], files: Sequence[Path]) -> Judged:
    """Judge claims on the runs of grids.

    Parameters
    ----------
    frame: pandas.DataFrame
        All runs.
    claims: sequence of Claim
        From `analysis.stats.claims.load`.
    files: sequence of Path
        The grid files; none: every run is asked about.

    Raises
    ------
    StudyError
        If the registration of a grid was edited.
    """
    registered = registrations(files, claims, frame)
    try:
        together = groups(frame)
        found, notes = registered.marked(judge(together, claims)), beneath(together)
    except UNUSABLE as error:
        return Judged(troubles=[trouble("verdicts", error)])
    tested: dict[str, tuple[Claim, list[Told]]] = {}
    for verdict, p in zip(found, holm(found), strict=True):
        if verdict.verdict != "not tested":
            told = Told(verdict, cells(verdict, p))
            tested.setdefault(verdict.claim.id, (verdict.claim, []))[1].append(told)
    counts = Counter(str(verdict.verdict) for verdict in found)
    return Judged(
        list(tested.values()),
        [verdict for verdict in found if verdict.verdict == "not tested"],
        [(word, counts[word]) for word in ORDER if counts[word]],
        registered.lines,
        chance(found),
        notes,
    )
