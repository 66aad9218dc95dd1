"""``study bench step``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.bench.gpu import Device, Parts
from study.commands.bench.writing import OUT, console, load
from study.errors import StudyError, nearest

__all__ = ["step"]


def step(
    device: Annotated[Device, typer.Option(help="What to measure on.")] = Device.CPU,
    task: Annotated[
        list[str] | None, typer.Option(help="May be given several times; all tasks if not.")
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(help="Trainings whose name contains this, such as 'detection 1111 float32'."),
    ] = None,
    share: Annotated[
        int, typer.Option(min=1, help="Among how many GPUs the recipe's batch is shared.")
    ] = 8,
    rounds: Annotated[int | None, typer.Option(min=1, help="At least so many.")] = None,
    quick: Annotated[bool, typer.Option(help="Toy models, one round: does it work?")] = False,
    limit: Annotated[float | None, typer.Option(min=1, help="Stop after so many seconds.")] = None,
    grids: Annotated[Path, typer.Option(help="Folder of the grids.")] = Path("grids"),
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = OUT,
) -> None:
    """Time whole steps of training, and measure their memory, beside the frameworks' own models.

    The recipes of grids/coco, grids/cityscapes and grids/wmt14, on made-up inputs. Let nothing else
    run on the machine meanwhile.
    """
    module = load("study.benchmarks", "step")
    for name in task or ():
        if name not in module.TASKS:
            raise StudyError(f"no task {name!r}{nearest(name, module.TASKS)}")
    tasks = tuple(dict.fromkeys(task or module.TASKS))
    groups = module.groups(device, tasks, only)
    if not groups:
        every = "\n  ".join(group[-1].name for group in module.groups(device, tasks, None))
        raise StudyError(f"no training has {only!r} in its name; the trainings:\n  {every}")
    shown = console()
    parts = Parts(out, "step", module.VERSIONS, quick, whole=not only and not task)
    with parts.measuring(shown) as begin:
        for rows in module.measure(groups, device, grids, share, rounds, quick, limit, begin):
            parts.add(rows)
    for table in module.tables(parts.rows):
        shown.table(table)
    for reason in module.reasons(parts.rows):
        shown.print(reason)
    parts.say(shown)
    if parts.rows:
        shown.print(str(parts.path))
