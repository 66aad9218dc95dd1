"""What the runs found, in sentences: made from the effects and the verdicts, hedged as they are."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.report.front.verdicts import Judged
from analysis.stats.effects import LEVEL, Effects, effects
from analysis.stats.group import Group
from analysis.stats.means import CONFIDENCE
from study.units import giga

__all__ = ["READ", "Finding", "findings"]

READ = (
    "±: half of the 95 % interval. An effect is told from 0 if p < 0.05 after Holm’s correction "
    "for the ten effects of its group; the comparison with the best mean is not corrected."
)
"""How to read the sentences."""

VERDICTS = {
    "supported": ("is supported", "are supported"),
    "contradicted": ("is contradicted", "are contradicted"),
    "inconclusive": ("cannot be told", "cannot be told"),
}
"""Verdicts on claims that were tested, and how a sentence says them of one and of many."""


@dataclass(frozen=True)
class Finding:
    """The sentences on one group.

    Attributes
    ----------
    where: str
        The title of the group.
    sentences: list of str
        What was found.
    """

    where: str
    sentences: list[str]


def findings(found: Sequence[Group], judged: Judged | None) -> list[Finding]:
    """Return the sentences on each group with finished runs.

    Parameters
    ----------
    found: sequence of Group
        From `analysis.stats.group.groups`.
    judged: Judged or None
        The verdicts on the same runs.
    """
    factorial = {each.group.title: each for each in effects(found)}
    told = []
    for group in found:
        if not len(group.done):
            continue
        said = []
        if group.title in factorial:
            said += _effects(factorial[group.title])
        said += [*_best(group), *_verdicts(group, judged)]
        if said:
            told.append(Finding(group.title, said))
    return told


def _effects(factorial: Effects) -> list[str]:
    """Say which terms matter, which cannot be told, and which pairs are more than their sum."""
    if not factorial.group.model.df:
        return ["One seed: what a term adds cannot be told from luck."]
    rows = factorial.rows[factorial.rows["effect"].notna()]
    amounts = {row.name: _amount(factorial, row) for row in rows.itertuples(index=False)}
    sure = rows["holm"] < LEVEL
    main, pairs = rows["kind"] == "main", rows["kind"] == "interaction"
    said = []
    if names := list(rows.loc[main & sure, "name"]):
        said.append(f"{_joined([f'{name} {amounts[name]}' for name in names])}.")
    if names := list(rows.loc[main & ~sure, "name"]):
        said.append(f"{_joined(names)} cannot be told from 0.")
    if names := list(rows.loc[pairs & sure, "name"]):
        terms = _joined([f"{name} {amounts[name]}" for name in names])
        said.append(f"Interaction{'s' if len(names) > 1 else ''}: {terms}.")
    return said


def _amount(factorial: Effects, row: object) -> str:
    metric = factorial.group.metric
    effect, low, high = row.effect, row.low, row.high  # type: ignore[attr-defined]
    verb = "adds" if effect > 0 else "takes away"
    lower = "" if metric.higher_is_better else " (lower is better)"
    reach = metric.format((high - low) / 2)
    return f"{verb} {metric.format(abs(effect))} ± {reach} {metric.shown}{lower}"


def _best(group: Group) -> list[str]:
    """Say which mechanism has the best mean, and which is the cheapest that may be as good."""
    means = group.means["mean"] * group.metric.sign
    if len(means) < 2:
        return []
    best = str(means.idxmax())
    seeds = group.seeds[best]
    said = (
        f"Of {len(means)} mechanisms {best} has the best mean, "
        f"{group.metric.format(float(group.means['mean'][best]))} {group.metric.shown} "
        f"({seeds} seed{'s' if seeds != 1 else ''})"
    )
    reaches = {
        word: (difference.effect, difference.half_width(CONFIDENCE))
        for word in group.seeds
        if word != best
        for difference in [group.difference(word, best)]
    }
    if all(math.isnan(reach) for _, reach in reaches.values()):
        return [f"{said}; with one seed each it cannot be told from the others."]
    equal = [word for word, (effect, reach) in reaches.items() if not abs(effect) > reach]
    if not equal:
        return [f"{said}; all others can be told from it."]
    macs = group.means["mechanism_macs"]
    cheaper = [word for word in equal if macs[word] < macs[best]]
    said += f"; {len(equal)} other{'s' if len(equal) != 1 else ''} cannot be told from it"
    if cheaper:
        word = min(cheaper, key=lambda each: macs[each])
        said += f", the cheapest {word} ({giga(macs[word])} against {giga(macs[best])} G MACs)"
    return [f"{said}."]


def _verdicts(group: Group, judged: Judged | None) -> list[str]:
    if judged is None:
        return []
    counts = Counter(
        str(told.verdict.verdict)
        for _, verdicts in judged.tested
        for told in verdicts
        if told.verdict.title == group.title
    )
    parts = [f"{n} {words[n > 1]}" for name, words in VERDICTS.items() if (n := counts[name])]
    if not parts:
        return []
    total = counts.total()
    return [f"Of {total} claim{'s' if total != 1 else ''} tested, {_joined(parts)}."]


def _joined(parts: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
