"""Verdicts as Markdown, CSV or JSON."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from analysis.stats.claims import Verdict
from analysis.stats.metrics import fine
from analysis.tables.pipes import pipes

__all__ = ["ORDER", "RENDERERS", "csv", "json_text", "markdown"]

ORDER = ("supported", "contradicted", "inconclusive", "not tested")
"""Of verdicts, wherever they are counted."""

NUMBERS = ("effect", "low", "high", "margin", "detectable")


def markdown(verdicts: Sequence[Verdict], notes: Sequence[str] = ()) -> str:
    """Render the count, a table of what was tested, the reasons, and what was not tested."""
    counts = Counter(str(verdict.verdict) for verdict in verdicts)
    parts = [", ".join(f"{counts[word]} {word}" for word in ORDER if counts[word]) + "\n"]
    header = ["claim", "runs", "verdict", "effect", "90 % interval", "margin", "detectable", "n"]
    tested = [verdict for verdict in verdicts if verdict.verdict != "not tested"]
    if tested:
        parts.append(pipes(header, [_row(verdict) for verdict in tested], left=3))
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


def csv(verdicts: Sequence[Verdict], notes: Sequence[str] = ()) -> str:
    """Render a row a verdict; lines that start with ``#`` are the notes."""
    frame = pd.DataFrame([_record(verdict) for verdict in verdicts])
    comments = "".join(f"# {note}\n" for note in notes)
    return comments + frame.to_csv(index=False, lineterminator="\n", float_format="%.15g")


def json_text(verdicts: Sequence[Verdict], notes: Sequence[str] = ()) -> str:
    """Render ``{"notes": [...], "verdicts": [...]}``, the tests of each claim included."""
    records = [
        _record(verdict) | {"tests": [asdict(outcome) for outcome in verdict.outcomes]}
        for verdict in verdicts
    ]
    whole = _finite({"notes": list(notes), "verdicts": records})
    return json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


RENDERERS: dict[str, Callable[[Sequence[Verdict], Sequence[str]], str]] = {
    "markdown": markdown,
    "csv": csv,
    "json": json_text,
}


def _row(verdict: Verdict) -> list[str]:
    if verdict.metric == "MACs":
        shown = [f"{verdict.effect:.3f} × MACs", "-", f"< {verdict.margin:g}", "-"]
    else:
        low, high = (_number(verdict, value, signed=True) for value in (verdict.low, verdict.high))
        shown = [
            f"{_number(verdict, verdict.effect, signed=True)} {verdict.metric}",
            "-" if low == "-" else f"{low} to {high}",
            _number(verdict, verdict.margin) if verdict.margin else "0",
            _number(verdict, verdict.detectable),
        ]
    return [verdict.claim.id, verdict.title, verdict.verdict, *shown, str(verdict.n)]


def _number(verdict: Verdict, value: float, signed: bool = False) -> str:
    assert verdict.group is not None  # or nothing was tested
    return "-" if math.isnan(value) else fine(verdict.group.metric, value, signed)


def _record(verdict: Verdict) -> dict[str, Any]:
    return {
        "claim": verdict.claim.id,
        "statement": verdict.claim.statement,
        "source": verdict.claim.source,
        **verdict.where,
        **{name: getattr(verdict, name) for name in ("metric", "verdict", *NUMBERS, "n", "reason")},
    }


def _finite(value: Any) -> Any:
    """Numbers that JSON does not have become null."""
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
