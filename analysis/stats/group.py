"""The one group of runs that may be compared, and what follows from them.

Tables, figures, effects and verdicts are views of a `Group`. What they show of a difference is an
estimate of its one model, so that no two of them disagree.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import pandas as pd

from analysis.stats import notes as told
from analysis.stats.estimate import Estimate
from analysis.stats.means import CONFIDENCE, by_mechanism
from analysis.stats.model import Model
from analysis.stats.recipes import by_recipe
from plugins.contracts.metric import Metric
from plugins.contracts.tasks import metric_of
from study.errors import StudyError

__all__ = ["Cell", "Group", "Published", "cautions", "groups", "split", "title"]

Cell = tuple[str, tuple[str, ...], str, int]
"""A run that a grid asks for: task, sites, mechanism, seed."""


@dataclass(frozen=True)
class Published:
    """Values of others, to stand in a column of their own beside ours.

    Attributes
    ----------
    name, label: str
        Of the column in `Group.rows`, and what heads it.
    values: mapping of str to float
        By mechanism, or by what the source calls a method that has no word.
    """

    name: str
    label: str
    values: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Group:
    """Runs of one task, data set, recipe and sites: they differ in mechanism and seed alone.

    All that follows from them is worked out when it is first asked for.

    Parameters
    ----------
    task, data, sites: str
        `sites` joined by dots.
    variant: str
        The recipe's entries that tell it from other groups of the same task and data, such as
        ``epochs=8``. Empty if there is nothing to tell apart.
    runs: pandas.DataFrame
        Rows of the runs table, of any state, in the order of the table.
    recipe: mapping of str to object
        The recipe's entries, the task's ``version`` among them.
    baseline: str or None
        The mechanism that differences are to, in `rows`.
    asked: mapping of str to frozenset of int
        Seeds that were to be run, by mechanism, in the order of the grid.
    published: tuple of Published
        Values of others beside ours.
    remarks: tuple of str
        Further notes, a sentence each.
    """

    task: str
    data: str
    sites: str
    variant: str
    runs: pd.DataFrame = field(repr=False)
    recipe: Mapping[str, Any] = field(default_factory=dict, repr=False)
    baseline: str | None = None
    asked: Mapping[str, frozenset[int]] = field(default_factory=dict, repr=False)
    published: tuple[Published, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Task, data, sites and variant on one line."""
        return title(self.task, self.data, self.sites, self.variant)

    @cached_property
    def done(self) -> pd.DataFrame:
        """The completed runs that have a value; each mechanism at most once a seed.

        Raises
        ------
        StudyError
            If two runs fill the same cell, or runs name different metrics.
        """
        runs = self.runs[(self.runs["state"] == "completed") & self.runs["value"].notna()]
        twice = runs[runs.duplicated(["mechanism", "seed"], keep=False)]
        if len(twice):
            raise StudyError(f"two runs of one cell: {', '.join(twice['id'])}; remove one of them")
        if len(metrics := runs["metric"].unique()) > 1:
            raise StudyError(
                f"{self.task} on {self.data}: runs with different metrics: {', '.join(metrics)}"
            )
        return runs

    @cached_property
    def metric(self) -> Metric:
        """The definition of the metric; without a name while no run has finished."""
        return metric_of(self.task, self.done["metric"].iloc[0] if len(self.done) else "")

    @cached_property
    def means(self) -> pd.DataFrame:
        """What `analysis.stats.means.by_mechanism` says of the completed runs."""
        return by_mechanism(self.done)

    @cached_property
    def seeds(self) -> dict[str, int]:
        """How many seeds each mechanism has."""
        return {str(word): int(n) for word, n in self.means["n"].items()}

    @cached_property
    def model(self) -> Model:
        """The model of all mechanisms of the group."""
        return Model(self.done)

    def difference(self, mechanism: str, reference: str | None) -> Estimate:
        """Estimate `mechanism` minus `reference`.

        NaN where one of them has no run, or where they share no seed, even through others. Without
        an error where they share fewer than two, and of a mechanism to itself.
        """
        if mechanism not in self.seeds or reference not in self.seeds:
            return Estimate(math.nan, math.nan, 0, 0)
        if mechanism == reference:
            return Estimate(0.0, math.nan, 0, self.seeds[mechanism])
        return self.model.contrast({mechanism: 1.0, reference: -1.0}).repeated

    @cached_property
    def reach(self) -> dict[str, float]:
        """Half the 95 % interval of each mean, by the model of differences; NaN below two seeds.

        Unlike ``half_width`` in `means` it does not rest on a mechanism's own two or three runs.
        """
        return {word: self.model.mean(word).repeated.half_width(CONFIDENCE) for word in self.seeds}

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row a mechanism, the baseline first, then in the order of `asked`.

        ``mechanism``, ``n`` (finished seeds), ``asked`` (seeds that were to be run), ``mean``,
        ``half_width``, ``difference`` to the baseline with the ``difference_half_width`` of its
        95 % interval and ``pairs`` (how many seeds both have), the other columns of `means`, and
        those of `published`. Missing numbers are NaN.
        """
        order = sorted(self.asked, key=lambda mechanism: mechanism != self.baseline)
        others = (word for column in self.published for word in column.values)
        words = list(dict.fromkeys([*order, *others]))
        estimates = [self.difference(word, self.baseline) for word in words]
        found = self.means.reindex(words)
        rows = pd.DataFrame(
            {
                "mechanism": words,
                "n": [self.seeds.get(word, 0) for word in words],
                "asked": [len(self.asked.get(word, ())) for word in words],
                **{name: found[name].to_numpy() for name in ("mean", "half_width")},
                "difference": [estimate.effect for estimate in estimates],
                "difference_half_width": [e.half_width(CONFIDENCE) for e in estimates],
                "pairs": [estimate.n for estimate in estimates],
                **{name: found[name].to_numpy() for name in found.columns[3:]},
            }
        )
        for column in self.published:
            rows[column.name] = rows["mechanism"].map(column.values)
        return rows

    @cached_property
    def cards(self) -> list[str]:
        """The data cards."""
        return told.cards(self.done)

    @cached_property
    def cautions(self) -> list[str]:
        """What comparisons must be read with.

        Data or code that differ between mechanisms, runs that learned nothing, outliers, runs
        without a value, a mechanism that scatters more than the others.
        """
        spread = self.model.spread if len(self.done) else ""
        return [*self.doubts, spread] if spread else self.doubts

    @cached_property
    def doubts(self) -> list[str]:
        """The cautions that are about single runs."""
        found = told.mixed(self.done) + told.stuck_note(self.done, self.metric)
        found += told.outlier_note(self.done, self.metric)
        return found + told.failed(self.runs) + told.valueless(self.runs)

    def only(self, mechanisms: Iterable[str]) -> Group:
        """Return the group of some of the mechanisms."""
        return replace(self, runs=self.runs[self.runs["mechanism"].isin([*mechanisms])])

    @cached_property
    def without_outliers(self) -> Group:
        """The group without its outliers; itself if it has none."""
        odd = told.outliers(self.done, self.metric).index
        return replace(self, runs=self.runs.drop(odd)) if len(odd) else self

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know to read the rows, a sentence each, the data cards first."""
        found = [f"data: {card}" for card in self.cards]
        found += told.of_data(self.task, self.done)
        found += told.direction(self.metric) + self._intervals()
        found += told.counting(self.done) + told.switches(self.recipe)
        if len(self.done) and max(self.seeds.values()) == 1:
            found.append("one seed: differences between rows cannot be told from noise")
        found += self.cautions + told.missing(self.asked, self.runs)
        return [*found, *self.remarks]

    def _intervals(self) -> list[str]:
        """Say what the intervals of the rows are."""
        if self.rows["half_width"].isna().all():
            return []
        note = "±: half the 95 % confidence interval of a mean, by its own n seeds (Student's t)"
        if self.rows["difference_half_width"].notna().any():
            note += (
                f"; of Δ {self.baseline}, mechanism minus {self.baseline}, by the scatter of all "
                "mechanisms of this table or of these two, whichever is larger, seeds as blocks: "
                "the model of study effects and study claims; its n: seeds that both have"
            )
        return [note]


def groups(
    frame: pd.DataFrame, baseline: str | None = None, expected: Iterable[Cell] = ()
) -> list[Group]:
    """Split a frame of `analysis.runs.collect` into the groups that may be compared.

    Parameters
    ----------
    frame: pandas.DataFrame
        Runs of any state.
    baseline: str, optional
        The mechanism to subtract.
    expected: iterable of Cell
        Runs that were asked for, perhaps absent from `frame`.

    Raises
    ------
    StudyError
        If two runs fill the same cell, or runs of one group name different metrics.
    """
    found = list(split(frame, baseline, expected))
    for group in found:
        group.done  # noqa: B018 - a contradiction of runs is told here, not in the midst of a table
    return found


def split(
    frame: pd.DataFrame, baseline: str | None = None, expected: Iterable[Cell] = ()
) -> Iterator[Group]:
    """Yield what `groups` returns, whether or not runs contradict each other."""
    cells = list(dict.fromkeys(expected))
    for task, data, variant, recipe, runs in by_recipe(frame):
        wanted = [(".".join(sites), m, seed) for t, sites, m, seed in cells if t == task]
        wanted += zip(runs["sites"], runs["mechanism"], runs["seed"], strict=True)
        # A run without sites, in which nothing stands anywhere, is compared at all of them.
        for sites in sorted({s for s, _, _ in wanted} - {""}) or [""]:
            asked: dict[str, set[int]] = {}
            for _, mechanism, seed in (w for w in wanted if w[0] in (sites, "")):
                asked.setdefault(mechanism, set()).add(int(seed))
            yield Group(
                *(task, data, sites, variant),
                runs=runs[runs["sites"].isin([sites, ""])],
                recipe=recipe.entries,
                baseline=baseline,
                asked={mechanism: frozenset(seeds) for mechanism, seeds in asked.items()},
            )


def cautions(found: Iterable[Group]) -> list[str]:
    """Return the cautions of all groups, each with the group's title."""
    return [f"{group.title}: {words}" for group in found for words in group.cautions]


def title(*parts: str) -> str:
    """Return what tells runs from others (task, data, sites, variant) on one line."""
    return " · ".join(filter(None, parts))
