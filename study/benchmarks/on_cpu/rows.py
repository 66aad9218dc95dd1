"""One measured comparison, and the columns it has in a file."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from study.benchmarks.cases import Case
from study.benchmarks.on_cpu.timing import CONTROL, Best

__all__ = ["Row", "geometric_mean"]


@dataclass(frozen=True)
class Row:
    """A case, forward or forward and backward, with a number of threads.

    Attributes
    ----------
    case: Case
        What was compared.
    pass_: str
        ``forward`` (no graph) or ``forward+backward`` (gradients of input and parameters).
    threads, rounds: int
        Threads that torch had, and rounds of which the fastest counts.
    times: mapping of str to Best
        Of ``ours``, of the ``reference``, and of the control that ran in the same rounds.
    disturbed: bool
        Whether something else took the cores.
    peaks: mapping of str to int
        Bytes over module and input, of ``ours`` and the ``reference``.
    memory_threads: int
        Threads of the memory measurement.
    """

    case: Case
    pass_: str
    threads: int
    rounds: int
    times: Mapping[str, Best]
    disturbed: bool
    peaks: Mapping[str, int]
    memory_threads: int

    @property
    def speedup(self) -> float:
        """How many times faster ours is."""
        return self.times["reference"].wall / self.times["ours"].wall

    @property
    def memory_ratio(self) -> float:
        """How many times less memory ours needs."""
        return self.peaks["reference"] / self.peaks["ours"]

    def to_csv(self) -> dict[str, Any]:
        """Return the columns: seconds and bytes, unrounded."""
        times = self.times
        return {
            "reference": self.case.reference,
            "configuration": self.case.configuration,
            "place": self.case.place,
            "kv_stride": self.case.kv_stride,
            "shape": "x".join(map(str, self.case.shape)),
            "pass": self.pass_,
            "threads": self.threads,
            "rounds": self.rounds,
            "ours_seconds": times["ours"].wall,
            "reference_seconds": times["reference"].wall,
            "speedup": self.speedup,
            "ours_cpu_seconds": times["ours"].cpu,
            "reference_cpu_seconds": times["reference"].cpu,
            "control_seconds": times[CONTROL].wall,
            "control_cpu_seconds": times[CONTROL].cpu,
            "disturbed": self.disturbed,
            "ours_bytes": self.peaks["ours"],
            "reference_bytes": self.peaks["reference"],
            "memory_ratio": self.memory_ratio,
            "memory_threads": self.memory_threads,
        }


def geometric_mean(ratios: Iterable[float]) -> float:
    """Mean of ratios: the same whichever side is the numerator."""
    return statistics.geometric_mean(list(ratios))
