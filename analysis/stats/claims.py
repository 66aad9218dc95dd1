"""Claims judged on runs: supported, contradicted, inconclusive, or not tested.

`load` reads the findings of the paper and those of a user, `judge` holds them against groups of
runs.
``docs/statistics.md`` has the rules and their error rates.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from statsmodels.stats.multitest import multipletests

from analysis.stats import guards, verdicts
from analysis.stats.claimfile import RANGE, Cheaper, Claim, Comparison, load
from analysis.stats.effects import TERMS, contrasts
from analysis.stats.group import Group
from analysis.stats.metrics import fine
from analysis.stats.verdicts import Outcome
from study.errors import nearest

__all__ = ["Claim", "Verdict", "holm", "judge", "load"]

SURE = ("contradicted", "not tested", "inconclusive", "supported")
"""The verdict of a claim is the first of these that one of its tests has."""

SAME = {"dynamic": "dynamic@1", "dynamic@1": "dynamic"}
"""Two words for one network: dynamic convolution has 3 taps an axis if no range is given."""


@dataclass(frozen=True)
class Verdict:
    """What the runs of one group say about a claim.

    Parameters
    ----------
    group: Group or None
        The runs; None if the claim is about no group at hand.
    verdict: str
        ``supported``: by all tests; ``contradicted``: by at least one; ``not tested``: runs are
        missing; else ``inconclusive``.
    metric: str
        Its name; ``MACs`` where the numbers are a ratio of MACs.
    effect, low, high, margin, detectable, n, reason
        Of the test that decides, the least sure one: see `analysis.stats.verdicts.Outcome`.
    p: float
        The largest of the tests that have one: chance of so clear a support of all of them, were
        the claim just not true. NaN if a test has none but for being of cost.
    outcomes: list of Outcome
        All tests, in the order of the claim.
    """

    claim: Claim
    group: Group | None = field(repr=False)
    metric: str
    verdict: verdicts.VerdictName
    effect: float
    low: float
    high: float
    margin: float
    detectable: float
    n: int
    reason: str
    p: float = math.nan
    outcomes: list[Outcome] = field(default_factory=list, repr=False)

    @property
    def deciding(self) -> Outcome:
        """The test that decides, the least sure one."""
        return min(self.outcomes, key=_sureness)

    @property
    def where(self) -> dict[str, str]:
        """Task, data, sites and variant of the group; without one, the tasks of the claim."""
        keys = ("task", "data", "sites", "variant")
        if self.group is None:
            return dict.fromkeys(keys, "") | {"task": " or ".join(self.claim.tasks)}
        return {key: getattr(self.group, key) for key in keys}

    @property
    def title(self) -> str:
        """`where` on one line."""
        return self.where["task"] if self.group is None else self.group.title


def judge(found: Iterable[Group], claims: Iterable[Claim]) -> list[Verdict]:
    """Judge each claim on each group of runs that it is about.

    Parameters
    ----------
    found: iterable of Group
        From `analysis.stats.group.groups`; only completed runs count.
    claims: iterable of Claim
        From `load`.

    Returns
    -------
    list of Verdict
        In the order of the claims; one that no group is about is ``not tested`` once.
    """
    finished = [group for group in found if len(group.done)]
    judged = []
    for claim in claims:
        about = [group for group in finished if claim.applies(group.task, group.sites)]
        judged += [_verdict(claim, group) for group in about]
        if not about:
            tasks = " or ".join(claim.tasks)
            reason = f"no finished run of {claim.attention}-attention in {tasks}"
            judged.append(_summed(claim, None, [verdicts.untested(reason)]))
    return judged


def holm(judged: Sequence[Verdict]) -> list[float]:
    """Return the p of each verdict after Holm's correction for all of its task; NaN without one."""
    adjusted = [math.nan] * len(judged)
    for task in {verdict.where["task"] for verdict in judged}:
        places = [
            place
            for place, verdict in enumerate(judged)
            if verdict.where["task"] == task and not math.isnan(verdict.p)
        ]
        if places:
            corrected = multipletests([judged[place].p for place in places], method="holm")[1]
            for place, p in zip(places, corrected, strict=True):
                adjusted[place] = float(p)
    return adjusted


def _verdict(claim: Claim, group: Group) -> Verdict:
    tests: list[tuple[Comparison, dict[str, str]] | Outcome] = []
    for test in _spelled_out(claim.tests, group):
        if isinstance(test, Outcome):
            tests.append(test)
            continue
        readings = _readings(test, group)
        tests += [readings] if isinstance(readings, Outcome) else [(test, r) for r in readings]
    fitted = sum(not isinstance(t, Outcome) and t[0].cheaper is None for t in tests)
    outcomes = []
    for entry in tests:
        if isinstance(entry, Outcome):
            outcomes.append(entry)
        elif entry[0].cheaper is not None:
            outcomes.append(_cost(entry[0].cheaper, entry[1], group))
        else:
            outcomes.append(_contrast(claim, *entry, group, fitted))
    return _summed(claim, group, outcomes)


def _spelled_out(tests: Iterable[Comparison], group: Group) -> Iterator[Comparison | Outcome]:
    """Yield the tests, one of the Pareto front as one comparison with each cheaper mechanism."""
    for test in tests:
        if test.pareto is None:
            yield test
            continue
        word, macs = _listed(test.pareto, group), group.means["model_macs"]
        if word not in group.seeds:
            yield verdicts.absent([word])
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
        if all(_listed(RANGE.sub(f"@{k}", word), group) in group.seeds for word in open_words)
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
        names = {word: _listed(_closed(word, ends), group) for word in words}
        missing = [word for word in _spelled(test.weights, names) if word not in group.seeds]
        if missing:
            return verdicts.absent(missing)
        readings.append(names)
    return readings


def _closed(word: str, ends: Mapping[str, int]) -> str:
    return RANGE.sub(lambda match: f"@{ends[match[1]]}", word)


def _listed(word: str, group: Group) -> str:
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


def _contrast(
    claim: Claim,
    test: Comparison,
    names: Mapping[str, str],
    group: Group,
    tests: int,
) -> Outcome:
    kind, given = test.contrast
    weights = _spelled(given, names)
    factor = test.margin if test.margin is not None else float(kind != "greater")
    unit = claim.margins.get(group.metric.name)
    if factor and unit is None:
        hint = nearest(group.metric.name, claim.margins)
        return verdicts.untested(f"no margin is agreed for {group.metric.name}{hint}")
    shown = _label({names.get(word, word): weight for word, weight in given.items()})

    def judged(group: Group) -> Outcome:
        if missing := [word for word in weights if word not in group.seeds]:
            return verdicts.absent(missing)
        model, metric = group.model, group.metric
        outcome = verdicts.judged(
            kind,
            model.contrast(weights),
            factor * (unit or 0.0),
            shown,
            metric,
            tests,
            model.shared(weights),
        )
        reason = guards.unlearned(kind, outcome, group, weights, unit or 0.0)
        if not reason and guards.rests_on_absence(kind, outcome, metric):
            reason = guards.unlike_floor(group, weights, claim.nothing, unit or 0.0)
        if reason:
            return verdicts.doubted(outcome, f"{outcome.reason}; but {reason}")
        if kind == "greater" and outcome.verdict == "supported" and not factor and unit:
            least = min(abs(outcome.low), abs(outcome.high))
            if least < unit:
                size = "is" if abs(outcome.effect) < unit else "may be"
                said = f"{outcome.reason}; it {size} smaller than the margin of {unit:g}"
                return replace(outcome, reason=said)
        return outcome

    outcome = _without_failures(_without_outliers(judged, group, weights), group, weights)
    if outcome.verdict in verdicts.SURE and set(group.seeds) - set(weights):
        low, high = (
            fine(group.metric, bound, signed=True)
            for bound in group.model.own(weights, 1 - 2 * verdicts.ALPHA)
        )
        alone = f"{outcome.reason} (their own seeds alone: {low} to {high})"
        return replace(outcome, reason=alone)
    return outcome


def _without_outliers(
    judged: Callable[[Group], Outcome], group: Group, weights: Mapping[str, float]
) -> Outcome:
    """Judge a comparison; take the verdict back if it rests on an outlier."""
    outcome = judged(group)
    rest = group.without_outliers
    odd = group.done.loc[group.done.index.difference(rest.done.index)]
    odd = odd[odd["mechanism"].isin([*weights])]
    if odd.empty:
        return outcome
    named = ", ".join(f"{run.mechanism} seed {run.seed}" for run in odd.itertuples())
    if outcome.verdict not in verdicts.SURE:
        return replace(outcome, reason=f"{outcome.reason}; outliers among the runs: {named}")
    beside = judged(rest)
    if beside.verdict == outcome.verdict:
        return replace(outcome, reason=f"{outcome.reason}; also without the outliers, {named}")
    said = f"{outcome.reason}; but without the outliers ({named}) it is {beside.verdict}"
    return verdicts.doubted(outcome, f"{said}: {beside.reason}")


def _without_failures(outcome: Outcome, group: Group, weights: Mapping[str, float]) -> Outcome:
    """Name the failed runs of a comparison; take the verdict back if they are on one side."""
    named, unequal = guards.failures(group, weights)
    if not named:
        return outcome
    if unequal and outcome.verdict in verdicts.SURE:
        said = f"{outcome.reason}; but {named}, more on one side than on the other"
        return verdicts.doubted(outcome, said)
    return replace(outcome, reason=f"{outcome.reason}; {named}")


def _label(weights: Mapping[str, float]) -> str:
    text = ""
    for word, weight in weights.items():
        size = "" if abs(weight) == 1 else f"{abs(weight):g}·"
        sign = ("-" if weight < 0 else "") if not text else " - " if weight < 0 else " + "
        text += f"{sign}{size}{word}" if weight else ""
    return text


def _cost(test: Cheaper, names: Mapping[str, str], group: Group) -> Outcome:
    one, other = names[test.mechanism], names[test.than]
    macs = group.means[f"{test.of}_macs"]
    n = min(group.seeds[one], group.seeds[other])
    ratio = macs[one] / macs[other] if macs[other] else math.nan
    if math.isnan(ratio):
        return verdicts.untested(f"{test.of} MACs of {one} or {other} are not known, or 0", n)
    label = (
        f"{test.of} MACs of {one} are {ratio:.4g} times those of {other} "
        f"({macs[one]:.4g} and {macs[other]:.4g})"
    )
    return replace(verdicts.cost(label, ratio, test.factor), n=n)


def _summed(claim: Claim, group: Group | None, outcomes: list[Outcome]) -> Verdict:
    worst = min(outcomes, key=_sureness)
    reason = worst.reason
    if worst.verdict == "not tested":
        gaps = [outcome for outcome in outcomes if outcome.verdict == "not tested"]
        if absent := {word for outcome in gaps for word in outcome.missing}:
            gaps = [o for o in gaps if not o.missing] + [verdicts.absent(absent)]
        reason = "; ".join(dict.fromkeys(outcome.reason for outcome in gaps))
    elif len(outcomes) > 1 and worst.verdict != "contradicted":
        reason += f" (the least sure of {len(outcomes)} tests)"
    metric = worst.unit or (group.metric.name if group else "")
    return Verdict(
        *(claim, group, metric, worst.verdict),
        *(worst.effect, worst.low, worst.high, worst.margin, worst.detectable),
        *(worst.n, reason, _jointly(outcomes), outcomes),
    )


def _jointly(outcomes: list[Outcome]) -> float:
    """Return p of a claim that needs all of its tests (an intersection-union test)."""
    chances = [outcome.p for outcome in outcomes if outcome.unit != "MACs"]
    return math.nan if not chances or any(map(math.isnan, chances)) else max(chances)


def _sureness(outcome: Outcome) -> tuple[int, float]:
    depth = -math.inf if math.isnan(outcome.depth) else outcome.depth
    return SURE.index(outcome.verdict), depth
