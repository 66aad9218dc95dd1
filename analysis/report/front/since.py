"""What changed since the report of before: runs that finished, values and verdicts that changed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.report.front.verdicts import Judged
from plugins.contracts.tasks import metric_of

__all__ = ["MARKER", "Since", "previous", "since", "snapshot"]

MARKER = "report.json"
"""A folder with this file is a report, and may be replaced by one."""

NAMED = 5  # runs, of those in which the same happened


@dataclass(frozen=True)
class Since:
    """When the report of before was built, and what changed, a line each."""

    built: str
    lines: list[str]


def previous(out: Path) -> dict[str, Any]:
    """Return what the report in a folder said of itself; empty if there is none, or an old one."""
    try:
        record = json.loads((out / MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) and "runs" in record else {}


def snapshot(rows: Sequence[Mapping[str, Any]], judged: Judged | None) -> dict[str, Any]:
    """Return what a report shows, to be compared by a later one: results by run, verdicts."""
    verdicts = [v for _, told in judged.tested for v in told] if judged else []
    return {
        "runs": {row["id"]: [row["label"], row["state"], _value(row)] for row in rows},
        "verdicts": {
            f"{told.verdict.claim.id} in {told.verdict.title}": str(told.verdict.verdict)
            for told in verdicts
        },
    }


def since(before: Mapping[str, Any], now: Mapping[str, Any]) -> Since | None:
    """Compare two snapshots; None if there is no earlier one, or nothing changed."""
    if not before:
        return None
    old, new = before["runs"], now["runs"]
    finished, changed = [], []
    for name, (label, state, value) in new.items():
        _, was, had = old.get(name, (label, "", None))
        if state == "completed" != was:
            finished.append(f"{label} ({value})" if value else label)
        elif state == "completed" and value != had:
            changed.append(f"{label} ({had or 'no result'}, now {value or 'no result'})")
    failed = [
        f"{label} ({state})"
        for name, (label, state, _) in new.items()
        if state not in ("completed", "planned", "queued", "running")
        and state != old.get(name, (label, "", None))[1]
    ]
    lines = [
        *_counted(finished, "finished"),
        *_counted(failed, "ended without a result"),
        *_counted(changed, "changed their result", "changed its result"),
        *_counted([old[name][0] for name in old if name not in new], "went away"),
    ]
    had_verdicts = before["verdicts"]
    for place, verdict in now["verdicts"].items():
        was = had_verdicts.get(place, "not tested")
        if was != verdict:
            lines.append(f"{place}: {was}, now {verdict}")
    gone = (place for place in had_verdicts if place not in now["verdicts"])
    lines += [f"{place}: {had_verdicts[place]}, now not tested" for place in gone]
    return Since(before["built"], lines) if lines else None


def _value(row: Mapping[str, Any]) -> str | None:
    if row["value"] is None:
        return None
    metric = metric_of(row["task"], row["metric"] or "")
    return f"{metric.format(row['value'])} {metric.shown}"


def _counted(names: Sequence[str], many: str, one: str | None = None) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    what = f"{len(names)} runs {many}" if len(names) > 1 else f"1 run {one or many}"
    return [f"{what}: {', '.join(names[:NAMED])}{more}"]
