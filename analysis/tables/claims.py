"""Verdicts as Markdown, CSV or JSON."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.stats.claims import Verdict, holm
from analysis.stats.group import Group, cautions
from analysis.stats.metrics import fine
from analysis.stats.verdicts import SURE
from analysis.tables.columns import p_value
from analysis.tables.pipes import pipes
from analysis.tables.terminal import lay, say

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = [
    *("ORDER", "RENDERERS", "beneath", "cells", "chance"),
    *("csv", "json_text", "markdown", "show"),
]

ORDER = ("supported", "contradicted", "inconclusive", "not tested")
"""Of verdicts, wherever they are counted."""

NUMBERS = ("effect", "low", "high", "margin", "detectable")


REGISTERED = ("yes", "amended")
"""Marks of a claim that was registered before its runs: see `analysis.registered.standing`."""


def markdown(
    verdicts: Sequence[Verdict], notes: Sequence[str] = (), registered: Sequence[str] = ()
) -> str:
    """Render registrations, the count, a table of what was tested, the reasons, and the rest."""
    counts = Counter(str(verdict.verdict) for verdict in verdicts)
    parts = [f"{line}\n" for line in registered]
    parts.append(", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word]) + "\n")
    parts += [f"{line}\n" for line in chance(verdicts)]
    corrected = {id(verdict): p for verdict, p in zip(verdicts, holm(verdicts), strict=True)}
    tested = [verdict for verdict in verdicts if verdict.verdict != "not tested"]
    if tested:
        named = [cells(verdict, corrected[id(verdict)]) for verdict in tested]
        if not any(verdict.registered not in ("", "no") for verdict in tested):
            named = [{k: v for k, v in row.items() if k != "registered"} for row in named]
        rows = [
            [verdict.claim.id, verdict.title, str(verdict.verdict), *row.values()]
            for verdict, row in zip(tested, named, strict=True)
        ]
        parts.append(pipes(["claim", "runs", "verdict", *named[0]], rows, left=3))
    for claim, group in itertools.groupby(tested, key=lambda verdict: verdict.claim):
        lines = [f"**{claim.id}** {claim.statement} ({claim.source})\n\n"]
        lines += [f"- {v.title}: **{v.verdict}**: {v.reason}\n" for v in group]
        parts.append("".join(lines))
    others = [verdict for verdict in verdicts if verdict.verdict == "not tested"]
    if others:
        parts.append("**Not tested**\n\n" + "".join(_untested(others)))
    if notes:
        parts.append("".join(f"- {note}\n" for note in notes))
    return "\n".join(parts)


def chance(verdicts: Sequence[Verdict]) -> list[str]:
    """Say how often verdicts err, and what adding seeds would do to that, a sentence each."""
    judged = [v for v in verdicts if v.verdict != "not tested" and v.metric != "MACs"]
    if not judged:
        return []
    said = [
        "a claim that stands at its edge, where it is just not true, is supported in at most 5 of "
        f"100 repetitions: if all {len(judged)} on accuracy stood there, {0.05 * len(judged):.1g} "
        "would be wrong on average; p (Holm) is corrected for all claims of a task"
    ]
    if any(v.verdict == "inconclusive" for v in judged):
        said.append(
            "adding seeds until a verdict is conclusive makes more of them wrong: decide how many "
            "there will be before the runs are looked at"
        )
    if unshown := sum(v.registered not in REGISTERED for v in judged):
        some = "" if unshown == len(judged) else f"for {unshown} of them "
        said.append(
            "all of this holds if claims, margins and the number of seeds were fixed before the "
            f"runs; {some}no registration shows that (study register GRID)"
        )
    return said


def beneath(found: Sequence[Group]) -> list[str]:
    """Return what stands below the verdicts on groups: their data cards and cautions."""
    cards = dict.fromkeys(f"data: {card}" for group in found for card in group.cards)
    return [*cards, *cautions(found)]


def _untested(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """A line for each claim: every reason once, with the runs that it is true of."""
    for claim, group in itertools.groupby(verdicts, key=lambda verdict: verdict.claim):
        places: dict[str, list[str]] = {}
        for verdict in group:
            places.setdefault(verdict.reason, []).append(verdict.title if verdict.group else "")
        reasons = "; ".join(
            f"{why} ({', '.join(where)})" if any(where) else why for why, where in places.items()
        )
        yield f"- **{claim.id}** {claim.statement} {reasons[0].upper()}{reasons[1:]}\n"


def csv(
    verdicts: Sequence[Verdict], notes: Sequence[str] = (), registered: Sequence[str] = ()
) -> str:
    """Render a row a verdict; lines that start with ``#`` are registrations and notes."""
    frame = pd.DataFrame([_record(verdict) for verdict in verdicts])
    frame.insert(frame.columns.get_loc("p") + 1, "holm", holm(verdicts))
    comments = "".join(f"# {note}\n" for note in (*registered, *notes))
    return comments + frame.to_csv(index=False, lineterminator="\n", float_format="%.15g")


def json_text(
    verdicts: Sequence[Verdict], notes: Sequence[str] = (), registered: Sequence[str] = ()
) -> str:
    """Render ``{"registered": [...], "notes": [...], "verdicts": [...]}``, tests included."""
    records = [
        _record(verdict) | {"holm": p, "tests": [asdict(each) for each in verdict.outcomes]}
        for verdict, p in zip(verdicts, holm(verdicts), strict=True)
    ]
    whole = _finite({"registered": [*registered], "notes": [*notes], "verdicts": records})
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def show(
    verdicts: Sequence[Verdict],
    notes: Sequence[str],
    registered: Sequence[str],
    screen: Screen,
) -> None:
    """Print for a terminal what each claim says and what came of it, without the reasons."""
    for line in registered:
        screen.print(line, soft_wrap=False)
    counts = Counter(str(verdict.verdict) for verdict in verdicts)
    screen.print(", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word]))
    say(screen, chance(verdicts))
    tested = [verdict for verdict in verdicts if verdict.verdict != "not tested"]
    for title, members in _by_runs(tested):
        rows = []
        for verdict in members:
            numbers = cells(verdict, math.nan)
            said = [f"{numbers['effect']}", numbers["90 % interval"], numbers["margin"]]
            rows.append([verdict.claim.id, str(verdict.verdict), verdict.claim.statement, *said])
        header = ["claim", "verdict", "it says", "effect", "90 % interval", "margin"]
        sure = [i for i, verdict in enumerate(members) if verdict.verdict in SURE]
        lay(screen, title, header, rows, left=3, strong=sure)
    others = list(dict.fromkeys(v.claim.id for v in verdicts if v.verdict == "not tested"))
    if others:
        screen.print(f"not tested by these runs: {', '.join(others)}", soft_wrap=False)
    say(screen, notes)
    screen.print("reasons and all numbers: --wide")


def _by_runs(verdicts: Sequence[Verdict]) -> Iterator[tuple[str, list[Verdict]]]:
    for title in dict.fromkeys(verdict.title for verdict in verdicts):
        yield title, [verdict for verdict in verdicts if verdict.title == title]


RENDERERS: dict[str, Callable[[Sequence[Verdict], Sequence[str], Sequence[str]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json_text,
}


def cells(verdict: Verdict, holm: float) -> dict[str, str]:
    """Return the numbers of a verdict that was tested, as people read them, by name.

    Parameters
    ----------
    verdict: Verdict
        Not ``not tested``.
    holm: float
        Its p after Holm's correction.
    """
    if verdict.metric == "MACs":
        numbers = [f"{verdict.effect:.3f} × MACs", "-", f"< {verdict.margin:g}", "-"]
    else:
        assert verdict.group is not None  # or nothing was tested
        low, high = (_number(verdict, value, signed=True) for value in (verdict.low, verdict.high))
        numbers = [
            f"{_number(verdict, verdict.effect, signed=True)} {verdict.group.metric.shown}",
            "-" if low == "-" else f"{low} to {high}",
            _margin(verdict),
            _number(verdict, verdict.detectable),
        ]
    names = ("effect", "90 % interval", "margin", "detectable", "n", "p (Holm)", "registered")
    return dict(
        zip(
            names, (*numbers, str(verdict.n), p_value(holm), verdict.registered or "-"), strict=True
        )
    )


def _margin(verdict: Verdict) -> str:
    """Write the margin; beside it the one without what the user says, if it is another."""
    if not verdict.margin:
        return "0"
    agreed = verdict.claim.margins.get(verdict.metric)
    usual = verdict.claim.usual.get(verdict.metric)
    text = _number(verdict, verdict.margin)
    if agreed is None or usual is None or agreed == usual:
        return text
    return f"{text} (usual: {_number(verdict, verdict.margin * usual / agreed)})"


def _number(verdict: Verdict, value: float, signed: bool = False) -> str:
    assert verdict.group is not None  # or nothing was tested
    return "-" if math.isnan(value) else fine(verdict.group.metric, value, signed)


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim.id,
        "statement": verdict.claim.statement,
        "source": verdict.claim.source,
        **verdict.where,
        **{
            name: getattr(verdict, name)
            for name in ("metric", "verdict", *NUMBERS, "n", "p", "reason", "registered")
        },
    }


def _finite(value: Any) -> Any:
    """Numbers that JSON does not have become null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
