"""``study bench launches``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from study.commands.bench.gpu import Parts, none_of
from study.commands.bench.writing import OUT, console, load

__all__ = ["launches"]


def launches(
    quick: Annotated[bool, typer.Option(help="Small inputs: seconds instead of minutes.")] = False,
    only: Annotated[
        str | None, typer.Option(help="Cases whose name contains this, such as 'mmcv 0110 conv5'.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the CSV.")] = OUT,
) -> None:
    """Count, on this CPU, what a step of each attention module would give a GPU to do.

    Operators dispatched in the forms that a GPU takes, values read back, and bytes kept for the
    backward pass, beside mmcv, fairseq and our own dense form. Times nothing.
    """
    module = load("study.benchmarks", "launches")
    cases = module.cases(quick, only)
    if not cases:
        raise none_of(only, module.cases(quick, None))
    shown = console()
    parts = Parts(out, "launches", module.VERSIONS, quick, whole=not only)
    with parts.measuring(shown) as begin:
        for rows in module.measure(cases, begin):
            parts.add(rows)
    for table in module.tables(parts.rows):
        shown.table(table)
    shown.print(str(parts.path))
