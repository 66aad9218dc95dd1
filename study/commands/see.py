"""``study status``, ``study logs`` and ``study inspect``: verbs that look and write nothing."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from study.commands.runs import Root, runs_of

__all__ = ["register"]

RunId = Annotated[str, typer.Argument(help="Run id, or the beginning or the end of one.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(status)
    app.command()(logs)
    app.command()(inspect)


def status(
    grids: Annotated[list[Path] | None, typer.Argument(help="Grid files; none: all runs.")] = None,
    root: Root = None,
) -> None:
    """Count the runs in each state and name those that need attention."""
    from rich.console import Console

    from study.folder import RunFolder, iter_runs
    from study.run import existing_root

    where = existing_root(root)
    if grids:
        folders = [RunFolder(where / run.id) for run in runs_of(grids)]
    else:
        folders = list(iter_runs(where))
    by_state: dict[str, list[str]] = {}
    for folder in folders:
        by_state.setdefault(folder.condition(), []).append(folder.path.name)
    console = Console()
    for state, names in sorted(by_state.items()):
        console.print(f"{len(names):>6} {state}")
        if state not in ("planned", "completed"):
            for name in names:
                console.print(f"         {name}", soft_wrap=True, highlight=False, markup=False)
    if not folders:
        console.print(f"no runs in {where.resolve()}", markup=False, soft_wrap=True)


def logs(
    run: RunId,
    root: Root = None,
    attempt: Annotated[int | None, typer.Option(help="Which attempt [default: newest].")] = None,
    err: Annotated[bool, typer.Option("--err", help="What the worker wrote to stderr.")] = False,
) -> None:
    """Print the log of a run: what the framework wrote, over all attempts.

    With --attempt or --err, what one attempt's process wrote.
    """
    from study.errors import StudyError
    from study.folder import find_run
    from study.run import default_root

    folder = find_run(root or default_root(), run)
    path = folder.path / "train.log"
    if attempt is not None or err or not path.exists():
        made = {a.n: a for a in folder.attempts}
        if not made:
            raise StudyError(f"{folder.path.name} has not been started yet")
        number = max(made) if attempt is None else attempt
        if number not in made:
            numbers = ", ".join(map(str, made))
            raise StudyError(f"{folder.path.name} has no attempt {number}; it has {numbers}")
        path = made[number].path / ("stderr" if err else "stdout")
        if not path.exists():
            raise StudyError(f"{path} does not exist: a run by hand writes to its terminal")
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            sys.stdout.write(line)


def inspect(run: RunId, root: Root = None) -> None:
    """Show a run: configuration, attempts, curve, result, provenance, command to run it by hand."""
    from rich.console import Console
    from rich.pretty import Pretty

    from study.folder import find_run
    from study.run import default_root

    folder, console = find_run(root or default_root(), run), Console()
    record = folder.run or {}
    console.rule(record["id"])
    state = folder.state()
    console.print(f"state {state}   grid {record['grid']}", markup=False, highlight=False)
    console.print(str(folder.path.resolve()), markup=False, highlight=False, soft_wrap=True)
    console.print(Pretty(record["science"], expand_all=True))
    for attempt in folder.attempts:
        told = f"attempt {attempt.n}: {_attempt(attempt.submission, attempt.exit)}"
        console.print(told, markup=False, highlight=False, soft_wrap=True)
    for line in _curve(folder.metrics):
        console.print(line, highlight=False)
    if (result := folder.result) is not None:
        console.print("result")
        shown = {key: result[key] for key in ("metrics", "untrained", "loss", "cost", "seconds")}
        console.print(Pretty(shown, expand_all=False))
    if (origin := folder.provenance) is not None:
        changes = " with uncommitted changes" if origin["dirty"] else ""
        console.print(f"code {origin['commit'] or 'not from a git checkout'}{changes}")
        console.print(
            f"host {origin['host']}, {origin['device']}, {origin['threads']} threads, "
            f"Python {origin['python']}, torch {origin['packages']['torch']}"
        )
        for name, card in origin["data"].items():
            console.print(f"data {name}: {card['card']}", soft_wrap=True)
    if state not in ("completed", "running"):
        device = (origin or {}).get("device", "cpu")
        command = [sys.executable, "-m", "study.worker", str(folder.path.resolve())]
        command += ["--device", device]
        console.print("to run it by hand, in this terminal:")
        console.print(f"  {shlex.join(command)}", soft_wrap=True, highlight=False, markup=False)


def _attempt(submission: dict[str, Any] | None, exit_: dict[str, Any] | None) -> str:
    where = "not started"
    if submission:
        who = (submission.get(key, "?") for key in ("launcher", "host", "pid"))
        where = "{} on {}, process {}".format(*who)
    if exit_ is None:
        return where
    error = f": {exit_['error']}" if exit_.get("error") else ""
    return f"{where}, {exit_.get('cause')} after {exit_.get('seconds', 0):.0f} s{error}"


BARS = "▁▂▃▄▅▆▇█"
CURVE_WIDTH = 60


def _curve(metrics: list[dict[str, Any]]) -> list[str]:
    """Return the loss and the task's first metric as lines of bars."""
    series: dict[str, list[float]] = {}
    for line in metrics:
        if line["split"] == "train":
            series.setdefault("loss", []).append(line["loss"])
        elif line["split"] in ("untrained", "val"):
            names = [key for key in line if key not in ("split", "step", "epoch", "time")]
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
