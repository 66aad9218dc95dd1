"""``study bench``: how fast our modules are beside those of other libraries."""

from __future__ import annotations

import csv
import io
import platform
import socket
from collections.abc import Sequence
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.errors import StudyError, nearest
from study.files import write_text

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True)
WIDTH = 100  # columns of the tables, even if the output is no terminal


@app.callback()
def bench() -> None:
    """Measure speed and memory beside other libraries."""


@app.command()
def attention(
    threads: Annotated[
        list[int] | None, typer.Option(min=1, help="May be given several times; 1 and 2 if not.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, help="At least so many; the fastest counts.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Small inputs, one round: does it work?")] = False,
    only: Annotated[
        str | None, typer.Option(help="Cases whose name contains this, such as 'mmcv 0110 conv4'.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for CSV and figures.")] = Path("results/bench"),
) -> None:
    """Time the attention modules, and measure their memory, beside mmcv, fairseq and torch.

    Writes every number as CSV, and a bar chart. Let nothing else run on the machine meanwhile.
    """
    from study.runs.provenance import cores

    module = _load("study.benchmarks", "attention")
    counts = threads or [count for count in (1, 2) if count <= cores()]
    if max(counts) > cores():
        raise StudyError(f"{max(counts)} threads on {cores()} cores would measure the waiting")
    cases = module.cases(quick, only)
    if not cases:
        every = "\n  ".join(case.name for case in module.cases(quick, None))
        raise StudyError(f"no case has {only!r} in its name; the cases:\n  {every}")
    console = _console()
    rows = _measure(module, cases, list(dict.fromkeys(counts)), rounds, quick, console)
    # A part of the measurement must not overwrite the whole.
    stem = "attention" + ("-quick" if quick else "") + ("-part" if only else "")
    path = out / f"{stem}.csv"
    _write(path, [row.to_csv() for row in rows], _machine(module.VERSIONS))
    for table in module.tables(rows, [] if quick else module.goals(rows)):
        console.print(table)
    disturbed = sum(row.disturbed for row in rows)
    if disturbed:
        console.print(
            f"[yellow]! {disturbed} of {len(rows)} timings were disturbed[/]: "
            "the control beside them did not get its cores. Repeat on an idle machine."
        )
    console.print(str(path), soft_wrap=True)
    for figure in _load("study.charts", "benchmark")(path):
        console.print(str(figure), soft_wrap=True)


@app.command()
def launcher(
    slots: Annotated[int, typer.Option(min=1, help="Trainings at a time in `study run`.")] = 2,
    quick: Annotated[bool, typer.Option(help="Two small trainings: does it work?")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = Path("results/bench"),
) -> None:
    """Time `study run` beside a shell loop over MMDetection's own train script.

    The same 12 trainings on either side. Let nothing else run on the machine meanwhile.
    """
    from study import data
    from study.runs.provenance import cores

    module = _load("study.benchmarks", "launcher")
    if slots > cores():
        raise StudyError(f"{slots} slots on {cores()} cores would measure the waiting")
    console = _console()
    found = module.measure(data.path(module.DATA), slots, quick, console.print)
    path = out / ("launcher-quick.csv" if quick else "launcher.csv")
    _write(path, found.to_csv(), _machine(module.VERSIONS))
    for table in module.tables(found, judge=not quick):
        console.print(table)
    if found.disturbed and not quick:
        console.print("[yellow]! something else took the cores[/]: repeat on an idle machine")
    console.print(str(path), soft_wrap=True)


@app.command()
def training(
    task: Annotated[
        list[str] | None, typer.Option(help="May be given several times; all tasks if not.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="A step of each: does it work?")] = False,
    grids: Annotated[Path, typer.Option(help="Folder of the grids.")] = Path("grids"),
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = Path("results/bench"),
) -> None:
    """Measure images or tokens a second of training, with each option that may speed it up.

    The trainings of grids/demo, in turns, with one thread each.
    """
    from study import data

    def prepared(name: str) -> Path:
        data.verify(name)
        return data.path(name)

    module = _load("study.benchmarks", "training")
    for name in task or ():
        if name not in module.TASKS:
            raise StudyError(f"no task {name!r}{nearest(name, module.TASKS)}")
    chosen = list(dict.fromkeys(task or module.TASKS))
    if missing := [name for name in chosen if not (grids / "demo" / f"{name}.yaml").is_file()]:
        raise StudyError(f"{grids / 'demo' / missing[0]}.yaml is missing: see --grids")
    console = _console()
    found = module.measure(grids, prepared, chosen, quick, console.print)
    stem = "training" + ("-quick" if quick else "") + ("-part" if task else "")
    by_name = {(each.task, each.variant): each for each in found}
    rows = [row for each in found for row in each.to_csv(by_name[each.task, module.AS_IS])]
    path = out / f"{stem}.csv"
    _write(path, rows, _machine(module.VERSIONS))
    for table in module.tables(found):
        console.print(table)
    console.print(str(path), soft_wrap=True)


def _console() -> Console:
    from rich.console import Console

    console = Console()
    console.width = max(console.width, WIDTH)
    return console


def _measure(
    module: Any,
    cases: Sequence[Any],
    threads: list[int],
    rounds: int | None,
    quick: bool,
    console: Console,
) -> list[Any]:
    """Measure under a progress bar."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        BarColumn(20),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
    )
    # Redraw only when a case is done: otherwise it would disturb the measurement.
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        task = progress.add_task("starting", total=len(cases) * (len(threads) + 1))
        progress.refresh()

        def done(what: str) -> None:
            progress.update(task, advance=1, description=what, refresh=True)

        return module.measure(cases, threads, rounds, quick, done)


def _machine(distributions: Sequence[str]) -> dict[str, str]:
    """What the numbers depend on besides the code; the commit names that."""
    from study.runs.provenance import cores, git_state, processor

    state = git_state()
    return {
        "host": socket.gethostname(),
        "processor": processor(),
        "cores": str(cores()),
        "python": platform.python_version(),
        **{name: version(name) for name in distributions},
        "commit": state["commit"],
        "dirty": str(state["dirty"]),
    }


def _write(path: Path, rows: list[dict[str, Any]], machine: dict[str, str]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0], *machine])
    writer.writeheader()
    writer.writerows(row | machine for row in rows)
    write_text(path, text.getvalue())


def _load(group: str, name: str) -> Any:
    """Load an entry point by its name, such as ``attention`` of ``study.benchmarks``.

    Loading is by name, because this room knows neither torch nor matplotlib.
    """

    found = entry_points(group=group, name=name)
    if not found:
        raise StudyError(f"no {name!r} in the entry points {group!r}; install anew: make setup")
    return next(iter(found)).load()
