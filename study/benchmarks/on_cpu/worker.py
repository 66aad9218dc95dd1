"""The process that measures: a fresh one for each number of threads; the command needs no torch."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import torch

from study.benchmarks.cases import Case
from study.benchmarks.devices.memory import in_fork, peak_growth
from study.benchmarks.on_cpu.timing import CONTROL, interleave
from study.benchmarks.sides import PASSES, SIDES, build
from study.worker.parent import Parent

__all__ = ["memory", "serve", "times"]


def times(
    cases: list[Case], threads: int, rounds: int, seconds: float, control: int
) -> Iterator[dict[str, Any]]:
    """Time both sides of each case; one answer a case and pass.

    `control` is the size of the matrices whose product is timed beside them.
    """
    torch.set_num_threads(threads)
    matrix = torch.rand(control, control)
    for index, case in enumerate(cases):
        sides = {name: build(case, name) for name in SIDES}
        for side in sides.values():
            side.warm_up()
        for pass_ in PASSES:
            calls: dict[str, Callable[[], object]] = {CONTROL: lambda: matrix @ matrix}
            calls |= {name: side.call(pass_) for name, side in sides.items()}
            best, done = interleave(calls, rounds, seconds)
            yield {
                "case": index,
                "pass": pass_,
                "rounds": done,
                "best": {name: [time.wall, time.cpu] for name, time in best.items()},
            }


def memory(cases: list[Case], threads: int) -> Iterator[dict[str, Any]]:
    """Measure the peak of each case, pass and side, each in a fork; one answer a case."""
    for index, case in enumerate(cases):
        peaks = {
            pass_: {side: in_fork(_peak, case, side, pass_, threads) for side in SIDES}
            for pass_ in PASSES
        }
        yield {"case": index, "peaks": peaks}


def _peak(case: Case, side: str, pass_: str, threads: int) -> int:
    torch.set_num_threads(threads)
    built = build(case, side)
    built.warm_up()
    return peak_growth(built.call(pass_))


def serve(parent: Parent) -> None:
    """Answer one request, with an answer for each measurement."""
    request = parent.hear()
    cases = [Case.from_json(fields) for fields in request.pop("cases")]
    # Collections between the measurements then pass over the libraries' own objects.
    gc.collect()
    gc.freeze()
    measure: Callable[..., Iterator[dict[str, Any]]] = (
        times if request.pop("what") == "times" else memory
    )
    for measured in measure(cases, **request):
        parent.tell(measured)
