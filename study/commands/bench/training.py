"""``study bench training``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.bench.writing import OUT, console, load, machine, write
from study.errors import StudyError, nearest

__all__ = ["training"]


def training(
    task: Annotated[
        list[str] | None, typer.Option(help="May be given several times; all tasks if not.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="A step of each: does it work?")] = False,
    grids: Annotated[Path, typer.Option(help="Folder of the grids.")] = Path("grids"),
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = OUT,
) -> None:
    """Measure images or tokens a second of training, with each option that may speed it up.

    The trainings of grids/demo, in turns, with one thread each.
    """
    from study import data

    def prepared(name: str) -> Path:
        data.verify(name)
        return data.path(name)

    module = load("study.benchmarks", "training")
    for name in task or ():
        if name not in module.TASKS:
            raise StudyError(f"no task {name!r}{nearest(name, module.TASKS)}")
    chosen = list(dict.fromkeys(task or module.TASKS))
    if missing := [name for name in chosen if not (grids / "demo" / f"{name}.yaml").is_file()]:
        raise StudyError(f"{grids / 'demo' / missing[0]}.yaml is missing: see --grids")
    shown = console()
    found = module.measure(grids, prepared, chosen, quick, shown.print)
    stem = "training" + ("-quick" if quick else "") + ("-part" if task else "")
    by_name = {(each.task, each.variant): each for each in found}
    rows = [row for each in found for row in each.to_csv(by_name[each.task, module.AS_IS])]
    path = out / f"{stem}.csv"
    write(path, rows, machine(module.VERSIONS))
    for table in module.tables(found):
        shown.table(table)
    shown.print(str(path))
