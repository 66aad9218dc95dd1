"""``study bench attention``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands.bench.gpu import Device, Parts, none_of, progress, refuse
from study.commands.bench.writing import OUT, console, load, machine, write
from study.errors import StudyError

if TYPE_CHECKING:
    from study.screen import Screen

__all__ = ["attention"]


def attention(
    device: Annotated[Device, typer.Option(help="What to measure on.")] = Device.CPU,
    threads: Annotated[
        list[int] | None,
        typer.Option(min=1, help="On a CPU. May be given several times; 1 and 2 if not."),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="At least so many. The fastest counts; on a GPU the median."),
    ] = None,
    quick: Annotated[bool, typer.Option(help="Small inputs, one round: does it work?")] = False,
    only: Annotated[
        str | None, typer.Option(help="Cases whose name contains this, such as 'mmcv 0110 conv4'.")
    ] = None,
    flex: Annotated[
        bool, typer.Option("--flex", help="On a GPU: FlexAttention too, compiled for each shape.")
    ] = False,
    limit: Annotated[
        float | None, typer.Option(min=1, help="On a GPU: stop after so many seconds.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for CSV and figures.")] = OUT,
) -> None:
    """Time the attention modules, and measure their memory, beside mmcv, fairseq and torch.

    Writes every number as CSV, and a bar chart. Let nothing else run on the machine meanwhile.
    """
    if device is Device.CUDA:
        refuse(device, **{"--threads": threads})
        _on_cuda(rounds, quick, only, flex, limit, out)
    else:
        refuse(device, **{"--flex": flex, "--limit": limit})
        _on_cpu(threads, rounds, quick, only, out)


def _on_cpu(
    threads: list[int] | None, rounds: int | None, quick: bool, only: str | None, out: Path
) -> None:
    from study.runs.provenance import cores

    module = load("study.benchmarks", "attention")
    counts = threads or [count for count in (1, 2) if count <= cores()]
    if max(counts) > cores():
        raise StudyError(f"{max(counts)} threads on {cores()} cores would measure the waiting")
    cases = module.cases(quick, only)
    if not cases:
        raise none_of(only, module.cases(quick, None))
    shown = console()
    rows = _measure(module, cases, list(dict.fromkeys(counts)), rounds, quick, shown)
    # A part of the measurement must not overwrite the whole.
    stem = "attention" + ("-quick" if quick else "") + ("-part" if only else "")
    path = out / f"{stem}.csv"
    write(path, [row.to_csv() for row in rows], machine(module.VERSIONS))
    for table in module.tables(rows, [] if quick else module.goals(rows)):
        shown.table(table)
    disturbed = sum(row.disturbed for row in rows)
    if disturbed:
        shown.print(
            f"! {disturbed} of {len(rows)} timings were disturbed: "
            "the control beside them did not get its cores. Repeat on an idle machine.",
            style="yellow",
            soft_wrap=False,
        )
    _show_files(path, shown)


def _measure(
    module: Any,
    cases: Sequence[Any],
    threads: list[int],
    rounds: int | None,
    quick: bool,
    shown: Screen,
) -> list[Any]:
    """Measure under a progress bar."""
    with progress(shown, len(cases) * (len(threads) + 1)) as done:
        return module.measure(cases, threads, rounds, quick, done)


def _on_cuda(
    rounds: int | None, quick: bool, only: str | None, flex: bool, limit: float | None, out: Path
) -> None:
    module = load("study.benchmarks", "attention-cuda")
    cases = module.cases(quick, only, flex)
    if not cases:
        raise none_of(only, module.cases(quick, None, flex))
    shown = console()
    parts = Parts(out, "attention", module.VERSIONS, quick, whole=not only)
    with parts.measuring(shown) as begin:
        for rows in module.measure(cases, Device.CUDA, rounds, quick, limit, begin):
            parts.add(rows)
    for table in module.tables(parts.rows):
        shown.table(table)
    for reason in module.reasons(parts.rows):
        shown.print(reason)
    parts.say(shown)
    if parts.rows:
        _show_files(parts.path, shown)


def _show_files(path: Path, shown: Screen) -> None:
    shown.print(str(path))
    for figure in load("study.charts", "benchmark")(path):
        shown.print(str(figure))
