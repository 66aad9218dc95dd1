"""How verdicts stand to what was registered: said above them, and with each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import pandas as pd

from analysis.registered.file import Entry, beside, read
from analysis.registered.plan import RECIPE, Plan, changes, plan
from analysis.stats.claims import Claim, Verdict
from analysis.stats.group import Group
from study.grid.reading import load
from study.runs.code import content

__all__ = ["JUDGING", "Registrations", "Standing", "registrations", "when"]

JUDGING = ("analysis.stats",)
"""The code that judges."""

MARKS = ("yes", "amended", "late", "changed", "no")
"""Whether a claim was registered, the best first: see `Standing.mark`."""


@dataclass(frozen=True)
class Standing:
    """The registration of a grid beside what is judged now.

    Parameters
    ----------
    grid: Path
        The grid file.
    entries: sequence of Entry
        The registration and its amendments.
    now: dict
        The plan of the grid, the claims and the margins at hand.
    ids: frozenset of str
        The runs of the grid.
    finished: sequence of int
        How many runs of the grid had finished at the time of each entry: what the entry says, or
        what the runs do, if that is more.
    """

    grid: Path
    entries: Sequence[Entry]
    now: Plan
    ids: frozenset[str]
    finished: Sequence[int]

    @property
    def line(self) -> str:
        """When it was registered, how it was amended and why, what was changed since."""
        said = [f"registered {self._when(0)}"]
        for number, (old, new) in enumerate(zip(self.entries, self.entries[1:], strict=False), 1):
            differ = "; ".join(changes(old.plan, new.plan))
            said.append(f'amended {self._when(number)}, "{new.reason}": {differ}')
        last = self.entries[-1]
        if since := changes(last.plan, self.now):
            said.append(f"changed since: {'; '.join(since)}")
        if last.code != content(JUDGING):
            said.append("the code that judges has changed since")
        return f"{self.grid}: {'; '.join(said)}"

    def _when(self, number: int) -> str:
        return when(self.entries[number], self.finished[number])

    @cached_property
    def seeds(self) -> frozenset[int]:
        """The seeds that were registered, by the last entry before a run had finished."""
        before = [
            entry for entry, done in zip(self.entries, self.finished, strict=True) if not done
        ]
        return frozenset((before or self.entries[:1])[-1].plan["grid"]["seeds"])

    def mark(self, claim: Claim, metric: str) -> str:
        """Say whether a claim was registered in these words, with this margin and this recipe.

        Returns
        -------
        str
            ``yes``, before a run had finished; ``amended`` if an amendment was made so early, and
            ``late`` if neither was; ``changed`` if the claim was another, in words or in what it
            is judged by, or its margin or the recipe; ``no`` if there was none of this name. What
            was amended before a run had finished was given up: only the last word by then counts.
        """
        agreed = [self._agrees(entry.plan, claim, metric) for entry in self.entries]
        # Another recipe has other runs, so that an amendment may be early after a late entry.
        early = [same for same, done in zip(agreed, self.finished, strict=True) if not done]
        late = [same for same, done in zip(agreed, self.finished, strict=True) if done]
        if early and early[-1]:
            return "amended" if not all(early) or self.finished[0] else "yes"
        if any(late):
            return "late"
        named = any(claim.id in entry.plan["claims"] for entry in self.entries)
        return "changed" if named else "no"

    def _agrees(self, then: Plan, claim: Claim, metric: str) -> bool:
        now = self.now
        same = all(then["grid"][key] == now["grid"][key] for key in RECIPE)
        if any(test.cheaper is None for test in claim.tests):  # a cost has no margin
            same = same and then["margins"].get(metric) == now["margins"].get(metric)
        if any(test.depends_on_runs for test in claim.tests):
            same = same and _cells(then) == _cells(now)
        known = now["claims"].get(claim.id)
        return same and known is not None and then["claims"].get(claim.id) == known


@dataclass(frozen=True)
class Registrations:
    """Those of the grids that are asked about.

    Parameters
    ----------
    standings: sequence of Standing
        Of the grids that are registered.
    others: sequence of Path
        Files of the grids that are not.
    names: sequence of str
        Grids whose runs are asked about without a grid file.
    """

    standings: Sequence[Standing] = ()
    others: Sequence[Path] = ()
    names: Sequence[str] = field(default=())

    @property
    def lines(self) -> list[str]:
        """What is to be said above verdicts, a line a registration."""
        said = [standing.line for standing in self.standings]
        if self.others:
            said.append(f"not registered: {', '.join(map(str, self.others))}")
        if self.names:
            said.append(
                "registrations lie beside grid files: name the grids to see what was registered "
                f"(these runs are of {', '.join(self.names)})"
            )
        return said

    def marked(self, verdicts: Iterable[Verdict]) -> list[Verdict]:
        """Return the verdicts, each with the mark whether it was registered.

        One on another number of seeds than were registered says so.
        """
        return [self._marked(verdict) for verdict in verdicts]

    def _marked(self, verdict: Verdict) -> Verdict:
        if verdict.group is None or not (self.standings or self.others):
            return verdict
        ids = {*verdict.group.done["id"]}
        metric = verdict.group.metric.name
        concerned = [each for each in self.standings if ids & each.ids]
        marks = {id(each): each.mark(verdict.claim, metric) for each in concerned}
        mark, left = MARKS[0], ids
        # A run may be one of several grids; all runs must be of one in which it was registered.
        for each in sorted(concerned, key=lambda each: MARKS.index(marks[id(each)])):
            if left & each.ids:
                mark, left = marks[id(each)], left - each.ids
        seeds = {seed for each in concerned for seed in each.seeds}
        said = _of_seeds(verdict, verdict.group, seeds) if seeds else ""
        mark = MARKS[-1] if left else mark
        return replace(verdict, registered=mark, reason=verdict.reason + said)


def _cells(of: Plan) -> dict[str, set[str]]:
    return {sites: set(mechanisms) for sites, mechanisms in of["grid"]["cells"].items()}


def when(entry: Entry, finished: int) -> str:
    """Return the date of an entry, and how many runs there were by then."""
    runs = entry.plan["grid"]["runs"]
    if finished:
        state = f"after {finished} of its {runs} runs had finished"
    elif entry.begun:
        state = f"after {entry.begun} of its {runs} runs had begun, before one had finished"
    else:
        state = "before the first run"
    return f"{entry.date[:10]}, {state}"


def registrations(
    files: Sequence[Path], claims: Sequence[Claim], runs: pd.DataFrame
) -> Registrations:
    """Read the registrations that lie beside grid files.

    Parameters
    ----------
    files: sequence of Path
        The grids; none: every run is asked about.
    claims: sequence of Claim
        All that are judged.
    runs: pandas.DataFrame
        The runs, a table of `analysis.runs.collect`.

    Raises
    ------
    StudyError
        If a registration was edited.
    """
    if not files:
        return Registrations(names=sorted(set(runs["grid"].dropna())))
    found, others = [], []
    for path in files:
        entries = read(beside(path))
        if not entries:
            others.append(path)
            continue
        grid = load(path)
        ids = frozenset(run.id for run in grid.runs())
        ends = pd.to_datetime(
            runs.loc[runs["id"].isin(ids), "finished"], utc=True, errors="coerce", format="ISO8601"
        )
        finished = [
            max(entry.finished, int((ends < pd.Timestamp(entry.date)).sum())) for entry in entries
        ]
        found.append(Standing(path, entries, plan(grid, claims), ids, finished))
    return Registrations(found, others)


def _of_seeds(verdict: Verdict, group: Group, registered: set[int]) -> str:
    """Say that other seeds were used than were registered, or not all of them yet."""
    if verdict.verdict == "not tested" or verdict.metric == "MACs":
        return ""
    count = len(registered)
    if verdict.n > count:
        many = "seeds were" if count > 1 else "seed was"
        return (
            f"; {count} {many} registered and {verdict.n} used: where seeds are added until a "
            "verdict is conclusive, more than 5 of 100 are wrong"
        )
    said = ""
    if others := sorted({*group.done["seed"]} - registered):
        named = ", ".join(map(str, others))
        said = f"; not among the registered seeds: {named}"
    if verdict.n < count:
        said += f"; interim: {verdict.n} of {count} registered seeds"
    return said
