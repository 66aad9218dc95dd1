"""What takes a verdict back: a difference, or its absence, that has another reason than the claim.

Each guard returns the reason in words, empty if it has none. ``docs/statistics.md`` explains them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import pandas as pd

from analysis.stats.group import Group
from analysis.stats.metrics import fine
from analysis.stats.notes import lost, stuck
from analysis.stats.verdicts import ALPHA, SURE, Kind, Outcome
from plugins.contracts.metric import Metric

__all__ = ["failed", "failures", "rests_on_absence", "unlearned", "unlike_floor"]


def rests_on_absence(kind: Kind, outcome: Outcome, metric: Metric) -> bool:
    """Tell whether a verdict says that a difference is not there, which may be for want of any."""
    if outcome.verdict == "supported":
        return kind != "greater"
    most = outcome.high if metric.higher_is_better else -outcome.low
    return outcome.verdict == "contradicted" and kind == "greater" and most >= 0


def unlearned(
    kind: Kind, outcome: Outcome, group: Group, words: Iterable[str], margin: float
) -> str:
    """Say that training did not make mechanisms better than the untrained network."""
    # A difference that is there was learned; that there is none may be for want of training.
    if outcome.verdict not in SURE or (kind == "greater" and outcome.verdict == "supported"):
        return ""
    metric, means = group.metric, group.means.loc[list(words)]
    learned = (metric.sign * (means["mean"] - means["untrained"])).max()
    if math.isnan(learned):
        return "the untrained network was not measured"
    better = "raised" if metric.higher_is_better else "lowered"
    return f"training {better} none of them by more than the margin" if learned <= margin else ""


def failed(outcome: Outcome, group: Group, words: Iterable[str]) -> str:
    """Name the mechanisms with a run that is no better than the untrained network.

    Even a large difference may then be one of learning rates, not of mechanisms.
    """
    compared = group.done[group.done["mechanism"].isin([*words])]
    if outcome.verdict not in SURE or not len(runs := stuck(compared, group.metric)):
        return ""
    side = "above" if group.metric.higher_is_better else "below"
    named = ", ".join(sorted(set(runs["mechanism"])))
    return f"runs of {named} are not {side} the untrained network"


def unlike_floor(
    group: Group, words: Iterable[str], floor: str, margin: float, at_chance: bool = False
) -> str:
    """Say that nothing shows that there was something to lose.

    Mechanisms may be equal because none of them brings anything here. So the best of those
    compared must beat the `floor` by more than the margin, at a level that allows for choosing the
    best. A floor whose training failed is beaten by anything: unless it is expected `at_chance`,
    where the untrained network is, it shows nothing.
    """
    metric = group.metric
    compared = [word for word in words if word != floor]
    if floor not in group.seeds:
        return f"no run of {floor} shows that there was something to lose"
    if not at_chance and len(stuck(group.done[group.done["mechanism"] == floor], metric)):
        side = "above" if metric.higher_is_better else "below"
        return (
            f"runs of {floor}, which others must beat to show that there was something to lose, "
            f"are not {side} the untrained network"
        )
    if floor in words:  # A claim that nothing is gained: other mechanisms must show what can be.
        compared = [word for word in group.seeds if word != floor]
    if not compared:
        return f"no mechanism beside {floor} shows that there was something to gain"
    gains = metric.sign * group.means.loc[compared, "mean"]
    best = str(gains.idxmax())
    estimate = group.difference(best, floor)
    bounds = estimate.interval(1 - 2 * ALPHA / len(compared))
    least = bounds[0] if metric.higher_is_better else -bounds[1]
    if least > margin:
        return ""
    shown = f"{best} - {floor} = {fine(metric, estimate.effect, signed=True)} {metric.shown}"
    beyond = f"not surely above {fine(metric, margin)}"
    return f"there is nothing to lose: {shown}, {beyond}{_end(group, margin)}"


def _end(group: Group, margin: float) -> str:
    """Name the floor or the ceiling that all means lie at."""
    metric, means = group.metric, group.means["mean"]
    if metric.best is not None and (abs(means - metric.best) <= margin).all():
        return f"; all are at the ceiling, {fine(metric, metric.best)}"
    learned = metric.sign * (means - group.means["untrained"])
    return "; all are at the floor, the untrained network" if (learned <= margin).all() else ""


def failures(group: Group, weights: Mapping[str, float]) -> tuple[str, bool]:
    """Name the runs of a comparison that ended without a value.

    Returns
    -------
    str, bool
        The words, and whether the two sides of the comparison lost unequal shares of their runs,
        so that the rest of them is no fair sample.
    """
    gone = lost(group.runs)
    gone = gone[gone["mechanism"].isin([*weights])]
    if gone.empty:
        return "", False
    named = ", ".join(
        f"{count} of {word}" for word, count in gone["mechanism"].value_counts(sort=False).items()
    )
    shares = [
        _share(gone, group.done, [w for w, weight in weights.items() if weight * side > 0])
        for side in (1, -1)
    ]
    return f"runs without a value: {named}", not math.isclose(*shares)


def _share(gone: pd.DataFrame, done: pd.DataFrame, words: list[str]) -> float:
    failed, ended = (int(runs["mechanism"].isin(words).sum()) for runs in (gone, done))
    return failed / (failed + ended) if failed else 0.0
