"""A run in lines of text: what matters of it, and below that all the rest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from plugins.contracts.metric import Metric
from plugins.contracts.names import UnknownName
from plugins.contracts.tasks import find_task
from study.files import BOOKKEEPING
from study.launch.protocol import title
from study.runs.attempt import Attempt
from study.units import duration, giga, mega

__all__ = ["ABOUT", "details", "portrait"]

ABOUT = 10  # columns of the words that say what a line is about

BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 60

Lines = Iterator[tuple[str, str]]


def portrait(facts: Mapping[str, Any], attempts: Sequence[Attempt]) -> Lines:
    """Yield what matters of a run.

    Parameters
    ----------
    facts: mapping
        As ``study inspect --json`` prints them.
    attempts: sequence of Attempt
        Those that ``facts["attempts"]`` is about.

    Yields
    ------
    str, str
        What a line is about, in a word, and what there is to say.
    """
    science, result = facts["science"] or {}, facts["result"]
    origin = facts["provenance"]
    yield "", facts["id"]
    kept = " (archived)" if facts["archived"] else ""
    took = f" in {duration(result['seconds'])}" if result else ""
    yield "state", f"{facts['state']}{kept}{took}, grid {facts['grid']}"
    if facts["note"]:
        yield "note", facts["note"]
    if science:
        places = f" at {', '.join(science['sites'])}" if science["sites"] else ""
        yield "mechanism", f"{science['mechanism']}{places}, seed {science['seed']}"
    if result:
        yield from _reached(science, result)
    for name, bars, first, last in curves(facts["metrics"]):
        yield name, f"{bars} {first:.4g} -> {last:.4g}"
    for attempt, about in zip(attempts, facts["attempts"], strict=True):
        yield f"attempt {attempt.n}", _account(attempt, about)
    if origin:
        changes = " with uncommitted changes" if origin["dirty"] else ""
        device = origin.get("gpu") or origin["device"]
        code = (origin["commit"] or "")[:12] or "not from a git checkout"
        yield "code", f"{code}{changes}; on {origin['host']}, {device}"
        for name, card in origin["data"].items():
            yield "data", f"{name}: {card['card']}"
    yield "folder", facts["path"]
    if facts["command"]:
        yield "by hand", facts["command"]


def _reached(science: Mapping[str, Any], result: Mapping[str, Any]) -> Lines:
    before = result["untrained"]
    told = []
    for name, value in result["metrics"].items():
        metric = _metric(science, name)
        if isinstance(value, int | float) and metric is not None:
            start = f" (untrained {metric.format(before[name])})" if name in before else ""
            told.append(f"{name} {metric.format(value)}{start}")
    yield "result", ", ".join(told)
    model, mechanism = result["cost"]["model"], result["cost"]["mechanism"]
    macs = f"{giga(model['macs'])} G MACs ({giga(mechanism['macs'])} the mechanism's)"
    size = f"{mega(model['parameters'])} M parameters ({mega(mechanism['parameters'])})"
    yield "cost", f"{macs}, {size}"


def _metric(science: Mapping[str, Any], name: str) -> Metric | None:
    """Return the definition of a metric; None for another number that a task records."""
    try:
        known = find_task(science["task"]).metrics
    except (KeyError, UnknownName):
        return Metric(name)
    return next((metric for metric in known if metric.name == name), None)


def details(facts: Mapping[str, Any]) -> Lines:
    """Yield what else is known: recipe, all numbers of the result, packages, weights."""
    yield "", ""
    for about in ("science", "result"):
        if facts[about]:
            text = yaml.safe_dump({about: facts[about]}, sort_keys=False, allow_unicode=True)
            yield "", text.rstrip()
    if (origin := facts["provenance"]) is None:
        return
    known = f", content {origin['code']}" if "code" in origin else ""
    yield "code", f"{origin['commit'] or 'not from a git checkout'}{known}"
    for name in origin.get("untracked", {}):
        yield "", f"  not in git: {name}"
    for name, own in origin.get("outside", {}).items():
        yield "package", f"{name} {own['version']}, content {own['content']}"
    yield (
        "host",
        f"{origin['host']}, {origin['threads']} threads, Python {origin['python']}, "
        f"torch {origin['packages'].get('torch', 'unknown')}",
    )
    for name, file in origin.get("weights", {}).items():
        yield "weights", f"{name}: {file['file']}, SHA-256 {file['sha256']}"


def _account(attempt: Attempt, about: dict[str, Any]) -> str:
    """Return a line: who executed an attempt, and how that ended."""
    if attempt.launcher is None:
        where = "not started"
    elif attempt.by_job:
        where = f"{attempt.launcher} job {about['job'] or 'not known yet'}"
        where += f" on {about['node']}" if about["node"] else f", from {about['host']}"
    else:
        process = f", process {about['pid']}" if about["pid"] else ""
        where = f"{attempt.launcher} on {about['host']}{process}"
    if about["cause"] is None:
        return where
    told = f", {title(attempt.launcher)} says {about['scheduler']}" if about["scheduler"] else ""
    error = f": {about['error']}" if about["error"] else ""
    return f"{where}, {about['cause']} after {about['seconds'] or 0:.0f} s{told}{error}"


def curves(metrics: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, float, float]]:
    """Return loss and the task's first metric: name, bars, first value, last value."""
    series: dict[str, list[float]] = {}
    for line in metrics:
        if line["split"] == "train":
            series.setdefault("loss", []).append(line["loss"])
        elif line["split"] in ("untrained", "val"):
            names = [key for key in line if key not in BOOKKEEPING]
            series.setdefault(names[0], []).append(line[names[0]])
    return [(name, _bars(values), values[0], values[-1]) for name, values in series.items()]


def _bars(values: Sequence[float]) -> str:
    step = max(1, -(-len(values) // CURVE_WIDTH))
    parts = [values[i : i + step] for i in range(0, len(values), step)]
    points = [sum(part) / len(part) for part in parts]
    low, high = min(points), max(points)
    span = (high - low) or 1.0
    return "".join(BARS[round((point - low) / span * (len(BARS) - 1))] for point in points)
