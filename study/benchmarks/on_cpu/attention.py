"""The attention mechanisms beside the modules of other libraries: time and peak memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from study.benchmarks.cases import Case, all_cases, select
from study.benchmarks.on_cpu.goals import goals
from study.benchmarks.on_cpu.rows import Row
from study.benchmarks.on_cpu.table import tables
from study.benchmarks.on_cpu.timing import CONTROL, Best, disturbed
from study.worker.child import Child

__all__ = ["VERSIONS", "cases", "goals", "measure", "tables"]

VERSIONS = ("torch", "onedl-mmcv", "ve-fairseq")
"""Distributions on whose versions the numbers depend."""

ROUNDS = 2  # the slowest calls take seconds each
SECONDS = 1.0  # until then calls of milliseconds get further rounds

CONTROL_SIZE = 2048
"""Rows and columns. The product takes about 0.1 s: a virtual machine may count the processor time
of further threads in ticks of 10 ms, and so shorter calls wrongly."""
QUICK_CONTROL_SIZE = 256  # whose times mean as little as the others of a quick run


def cases(quick: bool, pattern: str | None) -> list[Case]:
    """Return the cases to measure: all, or those whose name contains `pattern`."""
    return select(all_cases(quick), pattern)


def measure(
    cases: Sequence[Case],
    threads: Sequence[int],
    rounds: int | None,
    quick: bool,
    progress: Callable[[str], None],
) -> list[Row]:
    """Measure time for each number of threads, and memory with the largest.

    Parameters
    ----------
    cases: sequence of Case
        As :func:`cases` returns them.
    threads: sequence of int
        Thread counts, each in a process of its own.
    rounds: int, optional
        Rounds of each call at least; default 2.
    quick: bool
        No further rounds for calls of milliseconds, and 1 by default.
    progress: callable
        Called with the name of what is done, ``len(threads) + 1`` times a case.

    Raises
    ------
    StudyError
        If a measuring process fails.
    """
    if rounds is None:
        rounds = 1 if quick else ROUNDS
    peaks = {}
    for line in _work(cases, "memory", threads=max(threads)):
        peaks[line["case"]] = line["peaks"]
        progress(f"memory: {cases[line['case']].name}")
    rows = []
    for count in threads:
        lines = []
        options = {
            "seconds": 0.0 if quick else SECONDS,
            "control": QUICK_CONTROL_SIZE if quick else CONTROL_SIZE,
        }
        for line in _work(cases, "times", threads=count, rounds=rounds, **options):
            lines.append(line)
            if line["pass"] == "forward+backward":  # the last of a case
                progress(f"time, threads {count}: {cases[line['case']].name}")
        fastest = min(line["best"][CONTROL][0] for line in lines)
        for line in lines:
            times = {name: Best(*pair) for name, pair in line["best"].items()}
            rows.append(
                Row(
                    case=cases[line["case"]],
                    pass_=line["pass"],
                    threads=count,
                    rounds=line["rounds"],
                    times=times,
                    disturbed=disturbed(times, count, fastest),
                    peaks=peaks[line["case"]][line["pass"]],
                    memory_threads=max(threads),
                )
            )
    return rows


def _work(cases: Sequence[Case], what: str, **options: object) -> Iterator[dict[str, Any]]:
    """Yield the answers of a process of :mod:`study.benchmarks.on_cpu.worker`."""
    with Child("study.benchmarks.on_cpu.worker:serve") as child:
        child.tell({"what": what, "cases": [case.to_json() for case in cases], **options})
        yield from child
