"""Which mechanism is best over several groups: mean gain, rank, probability of improvement."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from analysis.stats import notes as told
from analysis.stats.aggregates.gains import alike, combined
from analysis.stats.aggregates.improvement import improvement
from analysis.stats.aggregates.ranks import ranks
from analysis.stats.estimate import Estimate
from analysis.stats.group import Group, cautions
from analysis.stats.means import CONFIDENCE
from study.errors import StudyError, nearest

__all__ = ["NOTHING", "Ranking", "ranking"]

NOTHING = "none"
"""Baseline where the grids name none that all groups have."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """Mechanisms that some groups have in common, compared over all of these.

    Parameters
    ----------
    groups: tuple of Group
        Each has runs of all `words`, which differences to the baseline can be told of.
    words: tuple of str
        The baseline among them.
    baseline: str
        What gains and improvements are over.
    margins: mapping of str to float
        What makes no difference, by metric: the unit of gains.
    left_out: tuple of str
        What is not compared, and why, a line each.
    """

    groups: tuple[Group, ...]
    words: tuple[str, ...]
    baseline: str
    margins: Mapping[str, float]
    left_out: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """That of the group, or how many there are."""
        return self.groups[0].title if len(self.groups) == 1 else f"{len(self.groups)} groups"

    @property
    def each(self) -> list[Ranking]:
        """The same of every group alone."""
        return [replace(self, groups=(group,), left_out=()) for group in self.groups]

    @cached_property
    def rows(self) -> pd.DataFrame:
        """One row a mechanism, the largest mean gain first.

        ``mechanism``, ``groups``; ``gain`` over the baseline in margins of the metric, the mean
        over groups, with ``low`` and ``high``, and ``least`` and ``most`` of a group; ``rank``, the
        mean of its ranks, with ``rank_low`` and ``rank_high``; ``improvement``, the mean chance
        that a new training beats one of the baseline, with ``improvement_low`` and
        ``improvement_high``. Intervals are 95 %. NaN where there is none, as of the baseline to
        itself.
        """
        ranked = [ranks(g.model, self.words, g.metric.sign, self._level) for g in self.groups]
        rank = np.mean(ranked, axis=0)
        rows = []
        for place, word in enumerate(self.words):
            gains = self._gains[word]
            same = word == self.baseline
            mean, low, high = combined(gains, self._parts, CONFIDENCE)
            chance, below, above = self._improvement(word)
            rows.append(
                {
                    "mechanism": word,
                    "groups": len(self.groups),
                    "gain": mean,
                    "low": math.nan if same else low,
                    "high": math.nan if same else high,
                    "least": min(gain.effect for gain in gains),
                    "most": max(gain.effect for gain in gains),
                    "rank": rank[0, place],
                    "rank_low": rank[1, place],
                    "rank_high": rank[2, place],
                    "improvement": chance,
                    "improvement_low": below,
                    "improvement_high": above,
                }
            )
        table = pd.DataFrame(rows)
        return table.sort_values("gain", ascending=False, kind="stable", ignore_index=True)

    @cached_property
    def notes(self) -> list[str]:
        """What a reader must know, a sentence each, the data cards first."""
        found = [f"data: {card}" for group in self.groups for card in group.cards]
        found.append(f"groups: {'; '.join(self._shown(group) for group in self.groups)}")
        found += [f"left out: {line}" for line in self.left_out]
        found += [line for group in self.groups for line in told.direction(group.metric)]
        found += [*self._reading(), *self._sharing(), *self._reversals(), *cautions(self.groups)]
        return list(dict.fromkeys(found))

    def _reading(self) -> list[str]:
        """Say what the columns are."""
        count = len(self.groups)
        mean = f"mean over these {count} groups, not over all tasks that there could be; "
        found = [
            f"gain over {self.baseline} in margins of the metric, since points of different "
            f"metrics have no mean; {mean * (count > 1)}intervals each by itself, by the error "
            "that study effects has",
            f"rank among these {len(self.words)}, 1 is the best; the intervals hold all at once: "
            "behind all that are surely better, before all that are surely worse",
            f"P: chance that a new training comes out better than one of {self.baseline} from the "
            "same seed, if values are normal; intervals each by itself, by the scatter of these "
            "two alone",
        ]
        if count > 1:
            found.append(
                "rank and P are means over groups, their bounds means of the groups' bounds, of "
                f"{100 * self._level:.4g} % each"
            )
        others = self.rows[self.rows["mechanism"] != self.baseline]
        if others["low"].isna().any():
            found.append(
                "no interval of a gain, and no P, where the two mechanisms have fewer than two "
                "seeds in common in a group"
            )
        return found

    def _sharing(self) -> list[str]:
        """Name the groups that are not independent of each other."""
        return [
            "these groups have trainings in common, and the errors of their gains are taken for "
            f"one error: {', '.join(self.groups[place].title for place in part)}"
            for part in self._parts
            if len(part) > 1
        ]

    @property
    def _level(self) -> float:
        """Confidence in each group, so that all groups together have the agreed one."""
        return 1 - (1 - CONFIDENCE) / len(self.groups)

    @cached_property
    def _parts(self) -> list[list[int]]:
        return alike(self.groups, self.words)

    @cached_property
    def _gains(self) -> dict[str, list[Estimate]]:
        return {
            word: [_gain(group, word, self.baseline, self.margins) for group in self.groups]
            for word in self.words
        }

    def _improvement(self, word: str) -> np.ndarray:
        if word == self.baseline:
            return np.full(3, math.nan)
        found = [
            improvement(g.model, word, self.baseline, g.metric.sign, self._level)
            for g in self.groups
        ]
        return np.mean(found, axis=0)

    def _shown(self, group: Group) -> str:
        name = group.metric.name
        return f"{group.title} ({name}, margin {self.margins[name]:g})"

    def _reversals(self) -> list[str]:
        """Name the mechanisms that help in one group and harm in another."""
        named = []
        for word in self.words:
            sides: dict[bool, str] = {}
            for group, gain in zip(self.groups, self._gains[word], strict=True):
                low, high = gain.interval(CONFIDENCE)
                if low > 0 or high < 0:
                    sides[low > 0] = f"{gain.effect:+.1f} in {group.title}"
            if len(sides) == 2:
                named.append(f"{word} ({sides[True]}, {sides[False]})")
        return [
            "better in one group and worse in another, so that the mean says little: "
            + ", ".join(named)
        ] * bool(named)


def ranking(
    found: Sequence[Group],
    margins: Mapping[str, float],
    baseline: str | None = None,
    named: Sequence[str | None] = (),
) -> Ranking:
    """Return what groups have in common, compared.

    Parameters
    ----------
    found: sequence of Group
    margins: mapping of str to float
        By metric.
    baseline: str, optional
        Groups without it are left out. If None, the first of `named`, or else `NOTHING`, that all
        groups have.
    named: sequence of str or None
        What the grids name.

    Raises
    ------
    StudyError
        If there is no such baseline, or nothing to compare it with.
    """
    usable, left_out = [], []
    for group in found:
        if reason := _unusable(group, margins, baseline):
            left_out.append(f"{group.title}: {reason}")
        else:
            usable.append(group)
    have = {word: sum(word in group.seeds for group in usable) for g in usable for word in g.seeds}
    if not usable:
        known = sorted({word for group in found for word in group.seeds})
        hint = nearest(baseline, known) if baseline and baseline not in known else ""
        raise StudyError("\n".join([f"no group to rank{hint}", *left_out]))
    common = sorted(word for word, count in have.items() if count == len(usable))
    if baseline is None:
        candidates = [word for word in [*named, NOTHING] if word in common]
        if not candidates:
            other = f"of {', '.join(common)}" if common else "that most of them have"
            raise StudyError(
                f"no baseline that all {len(usable)} groups have (the grids name "
                f"{', '.join(sorted({str(word) for word in [*named, NOTHING] if word}))}); choose "
                f"one {other}: --baseline WORD"
            )
        baseline = str(candidates[0])
    words = [
        word
        for word in common
        if not any(math.isnan(group.difference(word, baseline).effect) for group in usable)
    ]
    if len(words) < 2:
        raise StudyError(
            f"no mechanism but {baseline} has runs in all {len(usable)} groups; name fewer grids"
        )
    rest = [word for word in have if word not in words]
    if rest:
        counts = ", ".join(f"{word} ({have[word]} of {len(usable)})" for word in sorted(rest))
        left_out.append(f"mechanisms that not all groups can compare with {baseline}: {counts}")
    return Ranking(tuple(usable), tuple(words), baseline, margins, tuple(left_out))


def _unusable(group: Group, margins: Mapping[str, float], baseline: str | None) -> str:
    if not len(group.done):
        return "no finished run"
    name = group.metric.name
    if name not in margins:
        return f"no margin is agreed for {name}; give one: --margin {name}=VALUE"
    return "" if baseline in (None, *group.seeds) else f"no run of the baseline, {baseline}"


def _gain(group: Group, word: str, baseline: str, margins: Mapping[str, float]) -> Estimate:
    found = group.difference(word, baseline)
    unit = margins[group.metric.name]
    effect = group.metric.sign * found.effect / unit
    return replace(found, effect=effect, error=found.error / unit)
