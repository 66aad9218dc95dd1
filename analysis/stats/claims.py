"""Claims judged on runs: supported, contradicted, inconclusive, or not tested.

`load` reads the findings of the paper and those of a user, `judge` holds them against groups of
runs.
``docs/statistics.md`` has the rules and their error rates.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from statsmodels.stats.multitest import multipletests

from analysis.stats import verdicts
from analysis.stats.claimfile import RANGE, Claim, load
from analysis.stats.effects import TERMS
from analysis.stats.group import Group
from analysis.stats.judging import judge_contrast, judge_cost
from analysis.stats.power import detectable
from analysis.stats.readings import Contrast, Cost, as_listed, read
from analysis.stats.verdicts import Outcome

__all__ = ["Claim", "Verdict", "holm", "judge", "load"]

SURE = ("contradicted", "not tested", "inconclusive", "supported")
"""The verdict of a claim is the first of these that one of its tests has."""


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
    registered: str
        Whether the claim was registered before the runs: see `analysis.registered.standing`; empty
        where nobody looked.
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
    registered: str = ""

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
        In the order of the claims; one that no group is about is ``not tested`` once. Of groups
        that differ in their recipe alone, those are left out that have none of its mechanisms.
    """
    finished = [group for group in found if len(group.done)]
    judged = []
    for claim in claims:
        about = [
            group for group in finished if claim.applies(group.task, group.sites, group.recipe)
        ]
        judged += [_verdict(claim, group) for group in _without_strangers(claim, about)]
        if not about:
            reason = f"no finished run of {claim.about}"
            judged.append(_summed(claim, None, [verdicts.untested(reason)]))
    return judged


def _without_strangers(claim: Claim, about: list[Group]) -> list[Group]:
    """Leave out the groups without a mechanism of the claim, beside one that has some."""
    named = [
        word
        for test in claim.tests
        for word in test.weights
        if word not in TERMS and not RANGE.search(word)
    ]

    def place(group: Group) -> tuple[str, str, str]:
        return group.task, group.data, group.sites

    def knows(group: Group) -> bool:
        return not named or any(as_listed(word, group) in group.seeds for word in named)

    told = {place(group) for group in about if knows(group)}
    return [group for group in about if knows(group) or place(group) not in told]


def holm(judged: Sequence[Verdict]) -> list[float]:
    """Return the p of each verdict after Holm's correction for all of its task; NaN without one.

    A verdict that was taken back has none of its own, but counts among those that were tried.
    """
    adjusted = [math.nan] * len(judged)
    for task in {verdict.where["task"] for verdict in judged}:
        places = [
            place
            for place, verdict in enumerate(judged)
            if verdict.where["task"] == task
            and verdict.verdict != "not tested"
            and any(outcome.kind for outcome in verdict.outcomes)
        ]
        if places:
            tried = [1.0 if math.isnan(judged[at].p) else judged[at].p for at in places]
            for place, p in zip(places, multipletests(tried, method="holm")[1], strict=True):
                adjusted[place] = math.nan if math.isnan(judged[place].p) else float(p)
    return adjusted


def _verdict(claim: Claim, group: Group) -> Verdict:
    tests = read(claim, group)
    contrasts = [test for test in tests if isinstance(test, Contrast)]
    least = detectable(group, contrasts)
    outcomes = []
    for test in tests:
        if isinstance(test, Outcome):
            outcomes.append(test)
        elif isinstance(test, Cost):
            outcomes.append(judge_cost(test, group))
        else:
            outcome = judge_contrast(claim, test, group, len(contrasts))
            shown = math.nan if math.isnan(outcome.low) else least
            outcomes.append(replace(outcome, detectable=shown))
    return _summed(claim, group, outcomes)


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
