"""``study inspect``: what matters of one run, and all there is to know."""

from __future__ import annotations

import json
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands.select import Json, Root, RunId, find, notes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from study.runs.attempt import Attempt
    from study.runs.folder import RunFolder
    from study.screen import Screen
    from study.status.states import States

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(inspect)


def inspect(
    run: RunId,
    full: Annotated[
        bool, typer.Option("--full", help="Also recipe, all numbers, packages, data and weights.")
    ] = False,
    grid: Annotated[
        bool, typer.Option("--grid", help="Print a grid file that asks for this run alone.")
    ] = False,
    as_json: Json = False,
    root: Root = None,
) -> None:
    """Show a run: what it reached and costs, its curve, attempts, code, how to run it by hand."""
    from study.screen import Screen
    from study.status.portrait import details, portrait
    from study.status.states import states_of

    folder = find(root, run)
    if grid:
        from study.grid.alone import grid_file

        typer.echo(grid_file(folder.run or {}), nl=False)
        return
    states = states_of([folder])
    notes(states)
    (folder,) = states.seen.values()
    facts = _facts(folder, states)
    if as_json:
        typer.echo(json.dumps(facts, indent=1, ensure_ascii=False))
        return
    console = Screen()
    _print(portrait(facts, folder.attempts), console)
    if full:
        _print(details(facts), console)


def _facts(folder: RunFolder, states: States) -> dict[str, Any]:
    """Return everything; ``command`` is None if nothing should be run by hand."""
    from study.runs.archive import ArchivedRun
    from study.runs.folder import SETTLED
    from study.runs.note import note

    record, state = folder.run or {}, states.of[folder.path.name]
    archived = isinstance(folder, ArchivedRun)
    origin = folder.provenance
    command = _again(record) if state == "completed" else None
    if state not in SETTLED:
        device = (origin or {}).get("device", "cpu")
        words = [sys.executable, "-P", "-m", "study.worker", str(folder.path.resolve())]
        command = shlex.join([*words, "--device", device])
    return {
        "id": record.get("id", folder.path.name),
        "state": state,
        "archived": archived,
        "grid": record.get("grid"),
        "note": note(folder).line,
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


def _again(record: Mapping[str, Any]) -> str | None:
    """Return what trains a run once more, in another folder of runs."""
    if not (digest := record.get("hash")):
        return None
    grid = f"{digest}.yaml"
    return f"study inspect {digest} --grid > {grid} && study run {grid} --runs reproduced"


def _print(lines: Iterable[tuple[str, str]], console: Screen) -> None:
    """Print what each line is about, and what there is to say."""
    from study.status.portrait import ABOUT

    for about, text in lines:
        console.print(f"{about:<{ABOUT}} {text}" if about else text)
