"""The attention mechanisms beside the modules of other libraries, on an NVIDIA GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from study.benchmarks.cases import Case, select
from study.benchmarks.deadline import Deadline
from study.benchmarks.on_cuda.cases import gpu_cases, settings
from study.benchmarks.on_cuda.rows import Row, rows_of
from study.benchmarks.on_cuda.table import reasons, tables
from study.worker.child import Child

__all__ = ["VERSIONS", "cases", "measure", "reasons", "tables"]

VERSIONS = ("torch", "onedl-mmcv", "ve-fairseq")
"""Distributions on whose versions the numbers depend."""

ROUNDS = 7
SECONDS = 0.3  # of a setting: until then there are further rounds


def cases(quick: bool, pattern: str | None, flex: bool) -> list[Case]:
    """Return the cases to measure: all, or those whose name contains `pattern`."""
    return select(gpu_cases(quick, flex), pattern)


def measure(
    cases: Sequence[Case],
    device: str,
    rounds: int | None,
    quick: bool,
    limit: float | None,
    begin: Callable[[str, int], None],
) -> Iterator[list[Row]]:
    """Measure the settings of the cases one after the other; yield the rows of each.

    Parameters
    ----------
    cases: sequence of Case
        As :func:`cases` returns them.
    device: str
        ``cuda``; on ``cpu`` there is neither a graph nor a kernel.
    rounds: int, optional
        Rounds of each side at least; default 7.
    quick: bool
        No further rounds, and 1 by default.
    limit: float, optional
        Seconds after which to stop, in the middle of a setting if need be.
    begin: callable
        Called with the device's name and the number of settings before the first is measured.

    Raises
    ------
    StudyError
        If there is no such device, or the measuring process fails.
    """
    if rounds is None:
        rounds = 1 if quick else ROUNDS
    deadline = Deadline(limit)
    groups = settings(list(cases))
    with Child("study.benchmarks.on_cuda.serving:serve") as child:
        child.tell(
            {
                "device": device,
                "cases": [case.to_json() for case in cases],
                "rounds": rounds,
                "seconds": 0.0 if quick else SECONDS,
            }
        )
        try:
            begin(child.hear(deadline.left), len(groups))
            for group in groups:
                yield rows_of(group, child.hear(deadline.left))
        except TimeoutError:
            return  # the time is up; the process ends with the `with`
