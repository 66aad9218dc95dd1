"""From the tests of a claim to comparisons of the mechanisms that a group has."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from analysis.stats import verdicts
from analysis.stats.claimfile import RANGE, Cheaper, Claim, Comparison
from analysis.stats.effects import TERMS, contrasts
from analysis.stats.group import Group
from analysis.stats.verdicts import Kind, Outcome

__all__ = ["Contrast", "Cost", "as_listed", "read"]

SAME = {"dynamic": "dynamic@1", "dynamic@1": "dynamic"}
"""Two words for one network: dynamic convolution has 3 taps an axis if no range is given."""


@dataclass(frozen=True)
class Contrast:
    """A test of accuracy.

    Parameters
    ----------
    kind: str
        Which region the claim names.
    weights: mapping of str to float
        By mechanism, main effects spelled out.
    factor: float
        The margin, in units of `unit`.
    unit: float or None
        The metric's margin, in its units; None if none is agreed.
    label: str
        The contrast in words.
    """

    kind: Kind
    weights: Mapping[str, float]
    factor: float
    unit: float | None
    label: str

    @property
    def margin(self) -> float:
        """In units of the metric."""
        return self.factor * (self.unit or 0.0)


@dataclass(frozen=True)
class Cost:
    """A comparison of MACs, and the words under which the group has its mechanisms."""

    test: Cheaper
    names: Mapping[str, str]


def read(claim: Claim, group: Group) -> list[Contrast | Cost | Outcome]:
    """Return the comparisons of a claim in a group.

    A test of ranges is one for each range, one of the Pareto front one for each mechanism whose
    network costs no more; a test whose mechanisms have no runs is its outcome.
    """
    found: list[Contrast | Cost | Outcome] = []
    for test in _spelled_out(claim.tests, group):
        if isinstance(test, Outcome):
            found.append(test)
            continue
        readings = _readings(test, group)
        if isinstance(readings, Outcome):
            found.append(readings)
        elif test.cheaper is not None:
            found += [Cost(test.cheaper, names) for names in readings]
        else:
            found += [_contrast(claim, test, names, group) for names in readings]
    return found


def _contrast(claim: Claim, test: Comparison, names: Mapping[str, str], group: Group) -> Contrast:
    kind, given = test.contrast
    factor = test.margin if test.margin is not None else float(kind != "greater")
    unit = claim.margins.get(group.metric.name)
    shown = _label({names.get(word, word): weight for word, weight in given.items()})
    return Contrast(kind, _spelled(given, names), factor, unit, shown)


def _spelled_out(tests: Iterable[Comparison], group: Group) -> Iterator[Comparison | Outcome]:
    """Yield the tests, one of the Pareto front as one comparison with each cheaper mechanism."""
    for test in tests:
        if test.pareto is None:
            yield test
            continue
        word, macs = as_listed(test.pareto, group), group.means["model_macs"]
        if word not in group.seeds:
            yield verdicts.absent([word])
            continue
        if unknown := [other for other in group.seeds if math.isnan(macs[other])]:
            yield verdicts.untested(f"MACs of {', '.join(unknown)} are not known")
            continue
        cheaper = [other for other in group.seeds if other != word and macs[other] <= macs[word]]
        if not cheaper:
            yield verdicts.untested(f"no mechanism with runs is as cheap as {word}")
        for other in cheaper:
            yield Comparison(greater={word: 1.0, other: -1.0})


def _readings(test: Comparison, group: Group) -> list[dict[str, str]] | Outcome:
    """Return the mechanisms that the words of a test stand for, once for each range ``@k``.

    If mechanisms or ranges have no runs, the outcome of the test instead.
    """
    words = [word for word in test.weights if word not in TERMS]
    open_words = [word for word in words if RANGE.search(word)]
    places = {place for word in open_words for place in RANGE.findall(word)}
    listed = {int(k) for word in group.seeds for k in re.findall(r"@(\d+)", word)}
    ranges = [
        k
        for k in sorted({1} | listed)
        if all(as_listed(RANGE.sub(f"@{k}", word), group) in group.seeds for word in open_words)
    ]
    both = {"widest", "narrowest"} <= places or "next" in places
    if open_words and len(ranges) < (2 if both else 1):
        few = "fewer than two ranges" if both else "no range"
        bases = ", ".join(dict.fromkeys(RANGE.sub("@k", word) for word in open_words))
        return verdicts.untested(f"{few} k with finished runs of {bases}")
    readings = []
    following = dict(itertools.pairwise(ranges))
    for k in following if "next" in places else ranges if "k" in places else [0]:
        ends = {
            "k": k,
            "next": following.get(k, 0),
            "widest": max(ranges, default=0),
            "narrowest": min(ranges, default=0),
        }
        names = {word: as_listed(_closed(word, ends), group) for word in words}
        weights = _spelled(test.weights, names)
        if missing := [word for word in weights if word not in group.seeds]:
            return verdicts.absent(missing)
        # At an end of the ranges both sides may be one mechanism: nothing is compared.
        if weights:
            readings.append(names)
    if not readings:
        return verdicts.untested(f"{' and '.join(words)} are one mechanism here")
    return readings


def _closed(word: str, ends: Mapping[str, int]) -> str:
    return RANGE.sub(lambda match: f"@{ends[match[1]]}", word)


def as_listed(word: str, group: Group) -> str:
    """The word under which the group has runs of this mechanism; the word itself if it has none."""
    base, plus, suffix = word.partition("+")
    twin = SAME.get(base, base) + plus + suffix
    return twin if word not in group.seeds and twin in group.seeds else word


def _spelled(given: Mapping[str, float], names: Mapping[str, str]) -> dict[str, float]:
    """Weights by mechanism alone, main effects spelled out as means of term sets."""
    total: dict[str, float] = {}
    for word, weight in given.items():
        parts = contrasts()[word] if word in TERMS else {names[word]: 1.0}
        for mechanism, part in parts.items():
            total[mechanism] = total.get(mechanism, 0.0) + weight * part
    return {mechanism: weight for mechanism, weight in total.items() if abs(weight) > 1e-12}


def _label(weights: Mapping[str, float]) -> str:
    text = ""
    for word, weight in weights.items():
        size = "" if abs(weight) == 1 else f"{abs(weight):g}·"
        sign = ("-" if weight < 0 else "") if not text else " - " if weight < 0 else " + "
        text += f"{sign}{size}{word}" if weight else ""
    return text
