"""The rows of the matrix: controls, what their answers need, and what each mechanism reaches."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.stats.effects import TERMS
from analysis.stats.group import Group, title
from analysis.stats.recipes import Recipe, names
from plugins.attention.core.word import TERM_SETS
from plugins.contracts.metric import Metric
from plugins.contracts.names import UnknownName
from plugins.contracts.needs import Need, Needs
from plugins.contracts.tasks import find_task, metric_of

__all__ = [
    *("ANSWERS", "LOOKS", "WITHOUT", "Control", "Row", "View"),
    *("block", "in_order", "pages"),
]

WITHOUT = "none"
CONVOLUTIONS = {WITHOUT, "deformable", "dynamic"}


@dataclass(frozen=True)
class View:
    """Which number of a run the cells show.

    Attributes
    ----------
    name: str
        In the names of files.
    subject: str
        What is shown, in words.
    metric: str
        Its name; empty: the first one of the task.
    ends: tuple of str
        What is at both ends of the scale of colours.
    """

    name: str
    subject: str
    metric: str
    ends: tuple[str, str]


ANSWERS = View("matrix", "Questions answered right", "", ("chance (none)", "all questions"))
LOOKS = View("pointing", "Highest weight on the answer", "pointing", ("no query", "all queries"))
"""Of tasks that record it."""


@dataclass(frozen=True)
class Control:
    """The runs of one control.

    Attributes
    ----------
    group: Group
        Its runs.
    asked: str
        What is asked, such as ``twin``.
    need: Need
        What the answers need.
    """

    group: Group
    asked: str
    need: Need

    def label(self, sites: bool) -> str:
        """Return what is needed, and below it what is asked, with `sites` where that is."""
        where = f" ({self.group.sites})" if sites else ""
        return f"{' and '.join(sorted(self.need.terms))}\n{self.asked}{where}"

    def met(self, word: str) -> bool:
        """Whether a mechanism is a term set with what the answers need."""
        return word in TERM_SETS and self.need.terms <= _terms(word)

    def replaced(self, word: str) -> bool:
        """Whether a mechanism is another term set, with what can do the same."""
        instead = self.need.instead
        able = word in TERM_SETS and bool(instead) and instead <= _terms(word)
        return able and not self.met(word)

    def metric(self, view: View) -> Metric:
        """Return what a view shows."""
        return metric_of(self.group.task, view.metric) if view.metric else self.group.metric

    def row(self, view: View) -> Row:
        """Return what its mechanisms reach."""
        done = self.group.done
        column = f"metrics.{view.metric}" if view.metric else "value"
        if column not in done:
            return Row(self, {}, 0.0)
        kept = done[done[column].notna()]
        seeds = {str(word): own.tolist() for word, own in kept.groupby("mechanism")[column]}
        if view == LOOKS:
            return Row(self, seeds, 0.0)
        without = seeds.get(WITHOUT, [self.need.chance])
        return Row(self, seeds, sum(without) / len(without))


@dataclass(frozen=True)
class Row:
    """What the mechanisms reach in one control.

    Attributes
    ----------
    control: Control
        The control.
    seeds: mapping of str to list of float
        The values of the seeds, by mechanism.
    floor: float
        Where colours begin.
    """

    control: Control
    seeds: Mapping[str, Sequence[float]]
    floor: float


def pages(groups: Sequence[Group]) -> Iterator[tuple[str, str, list[Control]]]:
    """Sort the controls among groups into figures, one per task, data set and rest of the recipe.

    Yields
    ------
    tuple of str, str, list of Control
        What tells the rest of the recipe from others of the task and data, the heading, and the
        controls in the order of what they need.
    """
    found: dict[tuple[str, str, str], list[Control]] = {}
    for group in groups:
        if (known := _control(group)) is not None:
            control, rest = known
            key = (group.task, group.data, json.dumps(rest, sort_keys=True))
            found.setdefault(key, []).append(control)
    for (task, data, own), controls in sorted(found.items(), key=lambda item: item[0]):
        rivals = [Recipe(json.loads(other)) for *where, other in found if where == [task, data]]
        variant = Recipe(json.loads(own)).variant(rivals)
        yield variant, title(task, data, variant), sorted(controls, key=_rank)


def _control(group: Group) -> tuple[Control, dict[str, Any]] | None:
    """Return the group as a control, and the rest of its recipe; None if it is no control."""
    try:
        task = find_task(group.task)
    except UnknownName:
        return None
    if not isinstance(task, Needs):
        return None
    fields = task.Recipe.model_fields
    try:
        own = {name: value for name, value in group.recipe.items() if name in fields}
        recipe = task.Recipe.model_validate(own)
    except ValueError:  # runs of a time when the task had other fields
        return None
    rest = {**group.recipe, **recipe.complete()}
    asked = str(rest.pop(task.asked_by))
    return Control(group, asked, task.need(recipe)), rest


def _rank(control: Control) -> tuple[int, list[str], str, str]:
    terms = sorted(control.need.terms)
    return len(terms), terms, control.asked, control.group.sites


def _terms(word: str) -> frozenset[str]:
    return frozenset(term for term, bit in zip(TERMS, word, strict=True) if bit == "1")


def block(word: str) -> int:
    """Return the number of a kind of mechanism: `none`, term sets, convolutions, others."""
    if word == WITHOUT:
        return 0
    if word in TERM_SETS:
        return 1
    return 2 if CONVOLUTIONS.issuperset(names(word)) else 3


def in_order(words: Iterable[str]) -> list[str]:
    """Return mechanisms as the grids list them: by `block`, deformable convolution first."""

    def rank(word: str) -> tuple[int, bool, str, int, str]:
        base, _, reach = word.partition("@")
        within = int(reach) if reach.isdigit() else 0
        return block(word), "deformable" not in names(word), base, within, word

    return sorted(words, key=rank)
