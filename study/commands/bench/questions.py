"""``study bench questions``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.bench.gpu import Device, Parts, none_of
from study.commands.bench.writing import OUT, console, load

__all__ = ["questions"]


def questions(
    device: Annotated[Device, typer.Option(help="What to measure on.")] = Device.CPU,
    only: Annotated[
        str | None, typer.Option(help="Cases whose name contains this, such as 'phrase bilinear'.")
    ] = None,
    quick: Annotated[bool, typer.Option(help="Toy models, one round: does it work?")] = False,
    grids: Annotated[Path, typer.Option(help="Folder of the grids.")] = Path("grids"),
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = OUT,
) -> None:
    """Time all questions about an image, or phrases of a sentence, together and one by one.

    The networks of grids/vqa2 and grids/flickr30k, on made-up features of boxes. Let nothing else
    run on the machine meanwhile.
    """
    module = load("study.benchmarks", "questions")
    chosen = module.cases(grids, only)
    if not chosen:
        raise none_of(only, module.cases(grids, None))
    shown = console()
    parts = Parts(out, "questions", module.VERSIONS, quick, whole=not only)
    with parts.measuring(shown) as begin:
        for rows in module.measure(chosen, device, grids, quick, begin):
            parts.add(rows)
    for table in module.tables(parts.rows):
        shown.table(table)
    shown.print(str(parts.path))
