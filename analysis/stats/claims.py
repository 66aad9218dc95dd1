"""Claims judged on runs: supported, contradicted, inconclusive, or not tested.

`load` reads the findings of the paper and those of a user, `judge` holds them against groups of
runs.
``docs/statistics.md`` has the rules and their error rates.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from analysis.stats import verdicts
from analysis.stats.claimfile import RANGE, Cheaper, Claim, Comparison, load
from analysis.stats.effects import TERMS, contrasts
from analysis.stats.group import Group
from analysis.stats.metrics import fine
from analysis.stats.notes import stuck
from analysis.stats.verdicts import Outcome
from study.errors import nearest

__all__ = ["Claim", "Verdict", "judge", "load"]

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
    outcomes: list[Outcome] = field(default_factory=list, repr=False)

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


def _verdict(claim: Claim, group: Group) -> Verdict:
    tests: list[tuple[Comparison, dict[str, str]] | Outcome] = []
    for test in claim.tests:
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
    both = {"widest", "narrowest"} <= places
    if open_words and len(ranges) < (2 if both else 1):
        few = "fewer than two ranges" if both else "no range"
        bases = ", ".join(dict.fromkeys(RANGE.sub("@k", word) for word in open_words))
        return verdicts.untested(f"{few} k with finished runs of {bases}")
    readings = []
    for k in ranges if "k" in places else [0]:
        ends = {"k": k, "widest": max(ranges, default=0), "narrowest": min(ranges, default=0)}
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
    metric = group.metric
    unit = claim.margins.get(metric.name)
    if factor and unit is None:
        hint = nearest(metric.name, claim.margins)
        return verdicts.untested(f"no margin is agreed for {metric.name}{hint}")
    margin = factor * (unit or 0.0)
    estimate = group.model.contrast(weights)
    shown = {names.get(word, word): weight for word, weight in given.items()}
    outcome = verdicts.judged(kind, estimate, margin, _label(shown), metric, tests)
    means = group.means.loc[list(weights)]
    learned = (metric.sign * (means["mean"] - means["untrained"])).max()
    better, side = ("raised", "above") if metric.higher_is_better else ("lowered", "below")
    # A difference that is there was learned; that there is none may be for want of training.
    shown_by_size = kind == "greater" and outcome.verdict == "supported"
    if outcome.verdict in ("supported", "contradicted") and not shown_by_size:
        if math.isnan(learned):
            return _doubted(outcome, "the untrained network was not measured")
        if learned <= (unit or 0.0):
            return _doubted(outcome, f"training {better} none of them by more than the margin")
    # Even a large difference may then be one of learning rates, not of mechanisms.
    failed = stuck(group.done[group.done["mechanism"].isin(list(weights))], metric)
    if len(failed) and outcome.verdict in ("supported", "contradicted"):
        words = ", ".join(sorted(set(failed["mechanism"])))
        return _doubted(outcome, f"runs of {words} are not {side} the untrained network")
    if outcome.verdict in ("supported", "contradicted") and set(group.seeds) - set(weights):
        return _alone(outcome, group, weights)
    return outcome


def _alone(outcome: Outcome, group: Group, weights: Mapping[str, float]) -> Outcome:
    """Add what the seeds of the mechanisms compared say without the scatter of the others."""
    interval = group.alone(weights).contrast(weights).interval(1 - 2 * verdicts.ALPHA)
    low, high = (fine(group.metric, bound, signed=True) for bound in interval)
    return replace(outcome, reason=f"{outcome.reason} (their own seeds alone: {low} to {high})")


def _doubted(outcome: Outcome, why: str) -> Outcome:
    reason = f"{outcome.reason}; but {why}"
    return replace(outcome, verdict="inconclusive", reason=reason, depth=-math.inf)


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
        *(worst.n, reason, outcomes),
    )


def _sureness(outcome: Outcome) -> tuple[int, float]:
    depth = -math.inf if math.isnan(outcome.depth) else outcome.depth
    return SURE.index(outcome.verdict), depth
