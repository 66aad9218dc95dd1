"""What seeds can tell, for a terminal, as Markdown, CSV or JSON."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.stats.metrics import fine
from analysis.stats.model import FEW
from analysis.stats.power import TABLES
from analysis.stats.seeds import MOST, SHOWN, Plan
from analysis.tables.pipes import pipes
from analysis.tables.terminal import lay, say

if TYPE_CHECKING:
    from analysis.stats.group import Group
    from study.screen import Screen

__all__ = ["RENDERERS", "csv", "json_text", "margins", "markdown", "show", "tests"]

HARDLY = 0.01
"""Chance below which it is said that a claim cannot be supported."""


def markdown(plans: Sequence[Plan], gain: float) -> str:
    """Render a table for each group, and notes."""
    parts = []
    for group, members in _grouped(plans):
        rows = _rows(members)
        table = pipes(_header(members[0]), rows, left=2) if rows else ""
        notes = "".join(f"- {note}\n" for note in _notes(members, gain))
        parts.append(f"### {group.title}\n\n{table}\n{notes}")
    return "\n".join(parts)


def show(plans: Sequence[Plan], gain: float, screen: Screen) -> None:
    """Print the same so that it fits a terminal."""
    for group, members in _grouped(plans):
        if rows := _rows(members):
            lay(screen, group.title, _header(members[0]), rows, left=2)
        else:
            screen.print(group.title)
        say(screen, _notes(members, gain))


def csv(plans: Sequence[Plan], gain: float) -> str:
    """Render a row for each claim and number of seeds; lines that start with ``#`` are notes."""
    records = []
    for plan in plans:
        record = _record(plan)
        chances = record.pop("chances") or {None: None}
        records += [record | {"seeds": n, "chance": chance} for n, chance in chances.items()]
    whole = pd.DataFrame(records)
    for name in ("seeds", "needed"):
        whole[name] = whole[name].astype("Int64")
    comments = [
        f"# {group.title}: {note}\n"
        for group, members in _grouped(plans)
        for note in _notes(members, gain)
    ]
    return "".join(comments) + whole.to_csv(index=False, lineterminator="\n", float_format="%.6g")


def json_text(plans: Sequence[Plan], gain: float) -> str:
    """Render ``{"gain": ..., "notes": {...}, "claims": [...]}``."""
    notes = {group.title: _notes(members, gain) for group, members in _grouped(plans)}
    whole = {"gain": gain, "notes": notes, "claims": [_record(plan) for plan in plans]}
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


RENDERERS: dict[str, Callable[[Sequence[Plan], float], str]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json_text,
}


def tests(plan: Plan) -> str:
    """Count the tests of a claim by kind."""
    kinds = Counter(test.kind.replace("_", " ") for test in plan.contrasts)
    if plan.costs:
        kinds["cost"] = plan.costs
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


def _grouped(plans: Sequence[Plan]) -> Iterator[tuple[Group, list[Plan]]]:
    for group in dict.fromkeys(plan.group for plan in plans):
        yield group, [plan for plan in plans if plan.group is group]


def _header(plan: Plan) -> list[str]:
    numbers = [f"{n}*" if n == plan.planned else str(n) for n in _numbers(plan)]
    return ["claim", "tests", *numbers, "80 % at", f"seen {plan.group.metric.name}", "margins"]


def _numbers(plan: Plan) -> list[int]:
    return sorted({*SHOWN, plan.planned})


def _rows(plans: Sequence[Plan]) -> list[list[str]]:
    return [
        [
            *(plan.claim.id, tests(plan)),
            *(f"{100 * plan.chances[n]:.0f}" for n in _numbers(plan)),
            f"> {MOST}" if plan.needed is None else str(plan.needed),
            *(_size(plan), _size(plan, in_margins=True)),
        ]
        for plan in plans
        if plan.chances
    ]


def _size(plan: Plan, in_margins: bool = False) -> str:
    if math.isnan(plan.smallest):
        return "-"
    size = plan.smallest
    return f"{size / plan.unit:.1f}" if in_margins else fine(plan.group.metric, size)


def _notes(plans: Sequence[Plan], gain: float) -> list[str]:
    """Say what the numbers of one group are, a sentence each."""
    first = plans[0]
    metric, sd, unit, planned = first.group.metric, first.scatter.sd, first.unit, first.planned
    open_ = [plan for plan in plans if plan.chances]
    lacking = [plan for plan in plans if plan.missing]
    counted = [plan for plan in plans if not plan.contrasts and not plan.missing]
    notes = [
        f"{len(first.group.seeds)} mechanisms; scatter over seeds: sd {sd:.3g} {metric.name}, "
        f"{first.scatter.source}; margin {unit:g}, {unit / sd:.3g} sd"
    ]
    if open_:
        plural = "seed is" if planned == 1 else "seeds are"
        notes += [
            f"2 to {MOST}: chance, in %, that so many seeds support a claim that is true, all of "
            "its tests together, at the levels of study claims; 80 % at: seeds from which on it is "
            f"80 %; * {planned} {plural} planned",
            "true: equivalences are exact; each other contrast lies "
            f"{margins(gain)} inside its bound: what is not worse is {_equal(gain)}",
            f"seen: with {planned} {plural.split()[0]}, how far beyond its bound every effect of "
            "the claim must lie to be seen with a chance of 80 %, and the same in margins; of an "
            "equivalence, how far beyond the margin a difference must lie to refute it",
        ]
    equal = [p for p in open_ if any(test.kind == "equivalent" for test in p.contrasts)]
    if hopeless := [p for p in equal if p.chances[planned] < HARDLY]:
        notes.append(f"{planned} seeds cannot support, whatever is true: {_ids(hopeless)}")
    wide = [p for p in open_ if any(len(test.weights) > FEW for test in p.contrasts)]
    if wide:
        notes.append(
            "from three seeds on a contrast of many mechanisms must also hold seed by seed, so "
            f"that two may seem to tell more than three: {_ids(wide)}"
        )
    if pareto := [p for p in open_ if any(test.pareto for test in p.claim.tests)]:
        notes.append(
            f"{_ids(pareto)}: against all other mechanisms, since costs are not counted here; the "
            "runs are held against those that cost no more, which is easier"
        )
    if open_:
        notes.append(
            f"{TABLES} tables simulated a number of seeds, all mechanisms scattering alike; runs "
            "that fail, learn nothing or are outliers, and nothing to lose, are no part of it"
        )
    if counted:
        notes.append(f"of cost alone, which is counted and needs no seeds: {_ids(counted)}")
    if any(plan.costs for plan in open_):
        notes.append("tests of cost are taken as passed")
    if lacking:
        notes.append(f"lacks mechanisms to test {_ids(lacking)}")
    return notes


def margins(gain: float) -> str:
    """Write a number of margins."""
    return "one margin" if gain == 1 else f"{gain:g} margins"


def _equal(gain: float) -> str:
    """Say where the claim that something is not worse, with its bound a margin below, is true."""
    if gain == 1:
        return "equal"
    return f"{margins(abs(gain - 1))} {'better' if gain > 1 else 'worse'}"


def _ids(plans: Sequence[Plan]) -> str:
    return ", ".join(plan.claim.id for plan in plans)


def _record(plan: Plan) -> dict[str, Any]:
    group = plan.group
    keys = ("task", "data", "sites", "variant")
    return {
        "claim": plan.claim.id,
        **{key: getattr(group, key) for key in keys},
        "metric": group.metric.name,
        "mechanisms": len(group.seeds),
        "sd": plan.scatter.sd,
        "margin": plan.unit,
        "tests": tests(plan),
        "missing": plan.missing,
        "planned": plan.planned,
        "needed": plan.needed,
        "seen": None if math.isnan(plan.smallest) else plan.smallest,
        "seen_margins": None if math.isnan(plan.smallest) else plan.smallest / plan.unit,
        "chances": dict(sorted(plan.chances.items())),
    }
