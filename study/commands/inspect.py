"""``study inspect``: all there is to know about one run."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import typer

from study.commands.select import Json, Root, RunId, find, notes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from study.runs.attempt import Attempt
    from study.runs.folder import RunFolder
    from study.screen import Screen
    from study.status.states import States

__all__ = ["register"]

OF_RESULT = ("metrics", "untrained", "loss", "cost", "seconds")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(inspect)


def inspect(run: RunId, as_json: Json = False, root: Root = None) -> None:
    """Show a run: configuration, attempts, curve, result, provenance, command to run it by hand."""
    from study.screen import Screen
    from study.status.states import states_of

    states = states_of([find(root, run)])
    notes(states)
    (folder,) = states.seen.values()
    facts = _facts(folder, states)
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    _print(facts, folder.attempts, Screen())


def _facts(folder: RunFolder, states: States) -> dict[str, Any]:
    """Return everything; ``command`` is None if nothing should be run by hand."""
    from study.runs.archive import ArchivedRun
    from study.runs.folder import SETTLED

    record, state = folder.run or {}, states.of[folder.path.name]
    archived = isinstance(folder, ArchivedRun)
    origin = folder.provenance
    command = None
    if state not in SETTLED:
        device = (origin or {}).get("device", "cpu")
        words = [sys.executable, "-m", "study.worker", str(folder.path.resolve())]
        command = shlex.join([*words, "--device", device])
    return {
        "id": record.get("id", folder.path.name),
        "state": state,
        "archived": archived,
        "grid": record.get("grid"),
        "path": str((folder.file if isinstance(folder, ArchivedRun) else folder.path).resolve()),
        "science": record.get("science"),
        "attempts": [_attempt(attempt, states) for attempt in folder.attempts],
        "metrics": folder.metrics,
        "result": folder.result,
        "provenance": origin,
        "command": command,
    }


def _attempt(attempt: Attempt, states: States) -> dict[str, Any]:
    from study.launch.answers import cause
    from study.status.rows import job_of

    submission, ending = attempt.submission or {}, attempt.ending
    job, node = job_of(states, attempt)
    return {
        "n": attempt.n,
        "launcher": submission.get("launcher"),
        "host": submission.get("host"),
        "pid": (attempt.start or {}).get("pid") or submission.get("pid"),
        "job": job,
        "node": node,
        "submitted": submission.get("time"),
        "began": (attempt.start or {}).get("time"),
        "cause": cause(attempt, ending) if attempt.exit else None,
        "scheduler": ending.get("scheduler"),
        "seconds": ending.get("seconds"),
        "code": ending.get("code"),
        "error": ending.get("error"),
    }


def _print(facts: dict[str, Any], attempts: Sequence[Attempt], console: Screen) -> None:
    from rich.pretty import Pretty

    tell = console.print
    tell(facts["id"])
    kept = " (archived)" if facts["archived"] else ""
    tell(f"state {facts['state']}{kept}   grid {facts['grid']}")
    tell(facts["path"])
    console.print(Pretty(facts["science"], expand_all=True))
    for attempt, about in zip(attempts, facts["attempts"], strict=True):
        tell(f"attempt {attempt.n}: {_account(attempt, about)}")
    for line in curves(facts["metrics"]):
        console.print(line)
    if (result := facts["result"]) is not None:
        tell("result")
        console.print(Pretty({key: result[key] for key in OF_RESULT}, expand_all=False))
    if (origin := facts["provenance"]) is not None:
        changes = " with uncommitted changes" if origin["dirty"] else ""
        known = f", content {origin['code']}" if "code" in origin else ""
        tell(f"code {origin['commit'] or 'not from a git checkout'}{changes}{known}")
        for name in origin.get("untracked", {}):
            tell(f"  not in git: {name}")
        for name, own in origin.get("outside", {}).items():
            tell(f"package {name} {own['version']}, content {own['content']}")
        device = origin.get("gpu") or origin["device"]
        tell(
            f"host {origin['host']}, {device}, {origin['threads']} threads, "
            f"Python {origin['python']}, torch {origin['packages']['torch']}"
        )
        for name, card in origin["data"].items():
            tell(f"data {name}: {card['card']}")
        for name, file in origin.get("weights", {}).items():
            tell(f"weights {name}: {file['file']}, SHA-256 {file['sha256']}")
    if facts["command"]:
        tell("to run it by hand, in this terminal:")
        tell(f"  {facts['command']}")


def _account(attempt: Attempt, about: dict[str, Any]) -> str:
    """Return a line: who executed an attempt, and how that ended."""
    from study.launch.protocol import title

    if attempt.launcher is None:
        where = "not started"
    elif attempt.by_job:
        where = f"{attempt.launcher} job {about['job'] or 'not known yet'}"
        where += f" on {about['node']}" if about["node"] else f", from {about['host']}"
    else:
        where = f"{attempt.launcher} on {about['host']}, process {about['pid']}"
    if about["cause"] is None:
        return where
    told = f", {title(attempt.launcher)} says {about['scheduler']}" if about["scheduler"] else ""
    error = f": {about['error']}" if about["error"] else ""
    return f"{where}, {about['cause']} after {about['seconds'] or 0:.0f} s{told}{error}"


BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 60
BOOKKEEPING = ("split", "step", "epoch", "time")


def curves(metrics: list[dict[str, Any]]) -> list[str]:
    """Return the loss and the task's first metric as lines of bars."""
    series: dict[str, list[float]] = {}
    for line in metrics:
        if line["split"] == "train":
            series.setdefault("loss", []).append(line["loss"])
        elif line["split"] in ("untrained", "val"):
            names = [key for key in line if key not in BOOKKEEPING]
            series.setdefault(names[0], []).append(line[names[0]])
    lines = []
    for name, values in series.items():
        step = max(1, -(-len(values) // CURVE_WIDTH))
        points = [
            sum(values[i : i + step]) / len(values[i : i + step])
            for i in range(0, len(values), step)
        ]
        low, high = min(points), max(points)
        span = (high - low) or 1.0
        bars = "".join(BARS[round((point - low) / span * (len(BARS) - 1))] for point in points)
        lines.append(f"{name:>12} {bars} {values[0]:.4g} -> {values[-1]:.4g}")
    return lines
