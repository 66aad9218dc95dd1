"""``study bench launcher``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.bench.writing import OUT, console, load, machine, write
from study.errors import StudyError

__all__ = ["launcher"]


def launcher(
    slots: Annotated[int, typer.Option(min=1, help="Trainings at a time in `study run`.")] = 2,
    quick: Annotated[bool, typer.Option(help="Two small trainings: does it work?")] = False,
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = OUT,
) -> None:
    """Time `study run` beside a shell loop over MMDetection's own train script.

    The same 12 trainings on either side. Let nothing else run on the machine meanwhile.
    """
    from study import data
    from study.runs.provenance import cores

    module = load("study.benchmarks", "launcher")
    if slots > cores():
        raise StudyError(f"{slots} slots on {cores()} cores would measure the waiting")
    shown = console()
    found = module.measure(data.path(module.DATA), slots, quick, shown.print)
    path = out / ("launcher-quick.csv" if quick else "launcher.csv")
    write(path, found.to_csv(), machine(module.VERSIONS))
    for table in module.tables(found, judge=not quick):
        shown.table(table)
    if found.disturbed and not quick:
        shown.print("! something else took the cores: repeat on an idle machine", style="yellow")
    shown.print(str(path))
