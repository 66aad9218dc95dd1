"""What one comparison shows: whether its interval lies where a claim says that the effect lies.

A claim names a region: better by more than a margin (``greater``), worse by no more than the margin
(``not_worse``), or neither by more than it (``equivalent``). It is supported if the 90 % interval
lies inside, contradicted if it lies outside (a wider one where there are several ways to fail), and
inconclusive otherwise. Each bound of a 90 % interval is a one-sided 5 % test, and both together are
the two one-sided tests of equivalence (Schuirmann 1987).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from analysis.stats.estimate import Estimate, Shared
from analysis.stats.metrics import fine
from analysis.stats.model import SHARED
from plugins.contracts.metric import Metric

__all__ = [
    *("ALPHA", "POWER", "Kind", "Outcome", "VerdictName"),
    *("absent", "claimed", "cost", "decided", "doubted", "judged", "untested"),
]

ALPHA = 0.05
"""Chance of "supported" where the effect lies on the margin, and of "contradicted" there."""

POWER = 0.8

SURE = ("supported", "contradicted")

Kind = Literal["greater", "equivalent", "not_worse"]

VerdictName = Literal["supported", "contradicted", "inconclusive", "not tested"]


@dataclass(frozen=True)
class Outcome:
    """The verdict of one test of a claim.

    Parameters
    ----------
    verdict: str
        ``supported``, ``contradicted``, ``inconclusive`` or ``not tested``.
    effect, low, high: float
        Contrast and 90 % interval in units of the metric; for a comparison of cost the ratio of
        MACs, without an interval. NaN where there is none.
    margin: float
        In the same units; of a cost the largest ratio that the claim allows.
    n: int
        Fewest seeds that two of the mechanisms compared share; of a cost the fewest of either.
    reason: str
        One sentence with the numbers.
    p: float
        Chance of so clear a support at the edge of the claim, where it is just not true; NaN where
        there is none.
    depth: float
        How far inside the claimed region the nearer bound of the interval lies, in standard
        errors; orders the tests of a claim, the least sure first.
    detectable: float
        See `analysis.stats.power.detectable`, of all tests of its claim together.
    unit: str
        ``MACs`` if the numbers are ratios of MACs; empty if they are in units of the metric.
    missing: tuple of str
        Mechanisms without a finished run.
    kind: str
        Which region the claim names; empty where nothing of the metric was judged.
    """

    verdict: VerdictName
    effect: float
    low: float
    high: float
    margin: float
    n: int
    reason: str
    p: float = math.nan
    depth: float = math.nan
    detectable: float = math.nan
    unit: str = ""
    missing: tuple[str, ...] = ()
    kind: Kind | Literal[""] = ""


def untested(reason: str, n: int = 0, missing: Sequence[str] = ()) -> Outcome:
    """Return the outcome of a test that these runs cannot make."""
    nan, lacking = math.nan, tuple(missing)
    return Outcome("not tested", nan, nan, nan, nan, n, reason, missing=lacking)


def absent(mechanisms: Iterable[str]) -> Outcome:
    """Return the outcome of a test whose mechanisms have no finished run."""
    words = sorted(set(mechanisms))
    return untested(f"no finished run of {', '.join(words)}", missing=words)


def judged(
    kind: Kind,
    estimate: Estimate,
    margin: float,
    label: str,
    metric: Metric,
    tests: int = 1,
    shared: Shared | None = None,
) -> Outcome:
    """Judge a contrast.

    Parameters
    ----------
    kind: str
        Which region the claim names.
    estimate: Estimate
        The contrast.
    margin: float
        In units of the metric, at least 0.
    label: str
        The contrast in words, for the reason.
    metric: Metric
        What it is a contrast of; where lower is better, the region lies on the other side of 0.
    tests: int
        Tests of the same claim. One contradiction refutes a claim of many tests, so each has its
        share of `ALPHA`, and `equivalent`, which can fail on two sides, two shares of half the
        size; "supported" takes all of them, and needs no correction.
    shared: Shared, optional
        What seeds one by one say; a verdict must hold by that, too.
    """
    outcome = _judged(kind, estimate, margin, label, metric, tests)
    if shared is None or not shared.asked or outcome.verdict not in SURE:
        return outcome
    beside = _judged(kind, shared.estimate, margin, label, metric, tests)
    low, high = (fine(metric, bound, signed=True) for bound in (beside.low, beside.high))
    differs = ""
    if shared.traits:
        each = " and ".join(f"that of {trait}" for trait in shared.traits)
        differs = f"effects differ from seed to seed, {each}; "
    if shared.p < SHARED:
        test = f"F({shared.df}, {shared.rest}) = {shared.f:.3g}, p = {shared.p:.2g}"
        differs = f"seeds differ in it ({test}), "
    alone = f"seed by seed it is {low} to {high}"
    if math.isnan(beside.low):
        alone = f"its mechanisms have {'one seed' if beside.n else 'no seed'} in common"
    said = f"{outcome.reason}; {differs}{alone}"
    if beside.verdict == outcome.verdict:
        return replace(outcome, reason=said, p=max(outcome.p, beside.p))
    return doubted(outcome, f"{said}, which does not show it")


def decided(
    kind: Kind,
    estimate: Estimate,
    margin: float,
    metric: Metric,
    tests: int = 1,
    shared: Shared | None = None,
) -> tuple[Any, Any]:
    """Tell whether `judged` calls a contrast supported, and whether contradicted.

    Of an estimate from many tables (`analysis.stats.model.Model`), both are arrays.
    """
    found = _sides(kind, estimate.repeated, margin, metric, tests)
    if shared is None:
        return found
    beside = _sides(kind, shared.estimate.repeated, margin, metric, tests)
    free = np.logical_not(shared.asked)
    return found[0] & (free | beside[0]), found[1] & (free | beside[1])


def doubted(outcome: Outcome, reason: str) -> Outcome:
    """Return the outcome without its verdict."""
    return replace(outcome, verdict="inconclusive", reason=reason, p=math.nan, depth=-math.inf)


def claimed(kind: Kind, margin: float, metric: Metric) -> tuple[float, float]:
    """Return between which bounds a claim says that the effect lies, in units of the metric."""
    least = {"greater": margin, "not_worse": -margin, "equivalent": -margin}[kind]
    most = margin if kind == "equivalent" else math.inf
    return (least, most) if metric.higher_is_better else (-most, -least)


def _judged(
    kind: Kind, estimate: Estimate, margin: float, label: str, metric: Metric, tests: int
) -> Outcome:
    below, above = claimed(kind, margin, metric)
    estimate = estimate.repeated
    low, high = estimate.interval(1 - 2 * ALPHA)
    supported, contradicted = _sides(kind, estimate, margin, metric, tests)

    def outcome(
        verdict: VerdictName, reason: str, p: float = math.nan, depth: float = math.nan
    ) -> Outcome:
        effect = estimate.effect
        found = Outcome(verdict, effect, low, high, margin, estimate.n, reason, p, depth)
        return replace(found, kind=kind)

    if math.isnan(estimate.effect):
        return outcome("inconclusive", f"{label}: no seeds in common")
    text = f"{label} = {fine(metric, estimate.effect, signed=True)} {metric.shown}"
    if math.isnan(low):
        seeds = "one seed" if estimate.n else "no seed"
        return outcome("inconclusive", f"{seeds} in common: {text}, without an interval")
    shown = [fine(metric, bound, signed=True) for bound in (low, high)]
    text += f", 90 % interval {' to '.join(shown)}"
    region, outside = _regions(below, above, metric)
    inside = min(low - below, above - high)
    depth = inside / estimate.error if estimate.error else math.copysign(math.inf, inside)
    p = _chance(min(estimate.effect - below, above - estimate.effect), estimate)
    if supported:
        return outcome("supported", f"{text}, lies {region}", p, depth)
    if high < below or low > above:
        share = _share(kind, tests)
        level = f" {100 * share:.3g} %"
        if contradicted:
            even = f", even at{level}" if share < ALPHA else ""
            return outcome("contradicted", f"{text}, lies {outside}{even}", p, depth)
        return outcome(
            "inconclusive", f"{text}, lies {outside}, but not at its level of{level}", p, depth
        )
    reason = f"{text}, is not wholly {region}"
    if kind == "equivalent" and high - low >= 2 * margin:
        reason += "; so wide an interval cannot be, whatever the effect"
    return outcome("inconclusive", reason, p, depth)


def _share(kind: Kind, tests: int) -> float:
    """Return the level at which one of so many tests, on one side, refutes a claim."""
    return ALPHA / (tests * (2 if kind == "equivalent" else 1))


def _sides(
    kind: Kind, estimate: Estimate, margin: float, metric: Metric, tests: int
) -> tuple[Any, Any]:
    """Tell whether the interval lies inside the region, and whether a wider one lies outside."""
    below, above = claimed(kind, margin, metric)
    low, high = estimate.interval(1 - 2 * ALPHA)
    far_low, far_high = estimate.interval(1 - 2 * _share(kind, tests))
    return (low > below) & (high < above), (far_high < below) | (far_low > above)


def _chance(beyond: float, estimate: Estimate) -> float:
    """Return the one-sided p value of an estimate that lies so far inside the nearer edge."""
    if not estimate.error:
        return 0.0 if beyond > 0 else 1.0
    return float(stats.t.sf(beyond / estimate.error, estimate.df))


def _regions(below: float, above: float, metric: Metric) -> tuple[str, str]:
    """Return in words what lies between two bounds, and what lies beyond them."""

    def bound(value: float) -> str:
        return fine(metric, value) if value else "0"

    if math.isinf(above):
        return f"above {bound(below)}", f"below {bound(below)}"
    if math.isinf(below):
        return f"below {bound(above)}", f"above {bound(above)}"
    return f"within ±{bound(above)}", f"outside ±{bound(above)}"


def cost(label: str, ratio: float, factor: float) -> Outcome:
    """Judge a comparison of MACs, which are counted and have no error.

    Parameters
    ----------
    label: str
        What is compared, with the numbers.
    ratio: float
        MACs of the one over those of the other.
    factor: float
        The claim says that the ratio is less.
    """
    verdict: VerdictName = "supported" if ratio < factor else "contradicted"
    relation = "below" if ratio < factor else "not below"
    reason = f"{label}, {relation} {factor:g} times"
    depth = math.copysign(math.inf, factor - ratio) if ratio != factor else -math.inf
    nan = math.nan
    return Outcome(verdict, ratio, nan, nan, factor, 0, reason, nan, depth, unit="MACs")
