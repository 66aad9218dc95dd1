"""One comparison of a claim, judged on a group, with the guards that may take a verdict back."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace

from analysis.stats import guards, verdicts
from analysis.stats.claimfile import Claim
from analysis.stats.group import Group
from analysis.stats.metrics import fine
from analysis.stats.readings import Contrast, Cost
from analysis.stats.verdicts import Outcome
from study.errors import nearest
from study.units import giga

__all__ = ["judge_contrast", "judge_cost"]


def judge_contrast(claim: Claim, test: Contrast, group: Group, tests: int) -> Outcome:
    """Judge a test of accuracy, one of so many of its claim."""
    kind, weights, unit = test.kind, test.weights, test.unit
    if test.factor and unit is None:
        hint = nearest(group.metric.name, claim.margins)
        return verdicts.untested(f"no margin is agreed for {group.metric.name}{hint}")

    def judged(group: Group) -> Outcome:
        if missing := [word for word in weights if word not in group.seeds]:
            return verdicts.absent(missing)
        model, metric = group.model, group.metric
        outcome = verdicts.judged(
            kind,
            model.contrast(weights),
            test.margin,
            test.label,
            metric,
            tests,
            model.shared(weights),
        )
        able = [word for word in weights if word not in claim.expects_chance]
        reason = guards.unlearned(kind, outcome, group, weights, unit or 0.0)
        reason = reason or guards.failed(outcome, group, able)
        if not reason and guards.rests_on_absence(kind, outcome, metric):
            chance = claim.nothing in claim.expects_chance
            reason = guards.unlike_floor(group, weights, claim.nothing, unit or 0.0, chance)
        if reason:
            return verdicts.doubted(outcome, f"{outcome.reason}; but {reason}")
        if kind == "greater" and outcome.verdict == "supported" and not test.factor and unit:
            least = min(abs(outcome.low), abs(outcome.high))
            if least < unit:
                size = "is" if abs(outcome.effect) < unit else "may be"
                small = f"it {size} smaller than the margin of {fine(metric, unit)}"
                return replace(outcome, reason=f"{outcome.reason}; {small}")
        return outcome

    concerned = {*weights, claim.nothing} if kind != "greater" else {*weights}
    outcome = _without_failures(_without_outliers(judged, group, concerned), group, weights)
    if outcome.verdict in verdicts.SURE and set(group.seeds) - set(weights):
        low, high = (
            fine(group.metric, bound, signed=True)
            for bound in group.model.own(weights, 1 - 2 * verdicts.ALPHA)
        )
        alone = f"{outcome.reason} (their own seeds alone: {low} to {high})"
        return replace(outcome, reason=alone)
    return outcome


def _without_outliers(
    judged: Callable[[Group], Outcome], group: Group, words: Collection[str]
) -> Outcome:
    """Judge a comparison; take the verdict back if it rests on an outlier of these mechanisms."""
    outcome = judged(group)
    rest = group.without_outliers
    odd = group.done.loc[group.done.index.difference(rest.done.index)]
    odd = odd[odd["mechanism"].isin([*words])]
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


def judge_cost(cost: Cost, group: Group) -> Outcome:
    """Judge a comparison of MACs."""
    test = cost.test
    one, other = cost.names[test.mechanism], cost.names[test.than]
    macs = group.means[f"{test.of}_macs"]
    n = min(group.seeds[one], group.seeds[other])
    ratio = macs[one] / macs[other] if macs[other] else math.nan
    if math.isnan(ratio):
        return verdicts.untested(f"{test.of} MACs of {one} or {other} are not known, or 0", n)
    label = (
        f"{test.of} MACs of {one} are {ratio:.3f} times those of {other} "
        f"({giga(macs[one])} and {giga(macs[other])} G)"
    )
    return replace(verdicts.cost(label, ratio, test.factor), n=n)
