"""Measuring calls on this processor."""

from __future__ import annotations

import time
from collections.abc import Mapping

from study.benchmarks.devices.device import Call, CaptureFails, Launched, in_turns
from study.benchmarks.devices.memory import peak_growth

__all__ = ["Cpu"]


class Cpu:
    """A processor, whose calls run at once: no graph, nothing launched."""

    kind, name = "cpu", ""

    def times(
        self, calls: Mapping[str, Call], rounds: int, seconds: float
    ) -> dict[str, list[float]]:
        """Return wall times."""

        def timed(call: Call) -> float:
            begun = time.perf_counter()
            call()
            return time.perf_counter() - begun

        return in_turns(calls, timed, rounds, seconds, float)

    def graph(self, call: Call) -> float:
        """Raise CaptureFails."""
        raise CaptureFails("a CPU launches nothing")

    def launched(self, call: Call) -> Launched | None:
        """Return None."""
        return None

    def peak(self, call: Call) -> int:
        """Return the growth of the resident set, free memory of before not among it."""
        return peak_growth(call)
