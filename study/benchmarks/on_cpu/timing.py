"""Timing of calls side by side, and whether the clock could be trusted.

The calls take turns (A B A B ...) and each counts with its fastest round: what else a machine does
only ever adds time, and slow drifts (frequency, temperature) meet all calls alike. No round is set
apart for warming up: a slower first round is never the fastest, and callers run every operator
before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from study.benchmarks.devices.device import in_turns

__all__ = ["CONTROL", "Best", "Clocks", "disturbed", "interleave"]

CONTROL = "control"
"""The call whose processor time is known: a matrix product, which keeps all threads busy."""

TOLERANCE = 0.1
"""Share of the threads that a control may miss before its rounds count as disturbed."""

SLOWER = 1.25
"""How much slower than elsewhere in the same process a control may be."""


@dataclass(frozen=True)
class Clocks:
    """Where the time is read, in seconds: the wall's, and the process's over all its threads."""

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float] = time.process_time


@dataclass(frozen=True)
class Best:
    """The fastest round of one call.

    Attributes
    ----------
    wall, cpu: float
        Seconds; processor time is that of the round with the least wall time.
    """

    wall: float
    cpu: float

    @property
    def busy(self) -> float:
        """Mean number of cores at work."""
        return self.cpu / self.wall


def interleave(
    calls: Mapping[str, Callable[[], object]],
    rounds: int,
    seconds: float,
    clocks: Clocks = Clocks(),
) -> tuple[dict[str, Best], int]:
    """Run the calls in turns.

    Parameters
    ----------
    calls: mapping of str to callable
        Called in this order in each round.
    rounds: int
        At least so many.
    seconds: float
        Further rounds follow until the calls have taken so long together.
    clocks: Clocks, optional
        Where to read the time.

    Returns
    -------
    tuple
        The best round of each call, and how many rounds there were.
    """

    def timed(call: Callable[[], object]) -> Best:
        wall, cpu = clocks.wall(), clocks.cpu()
        call()
        return Best(clocks.wall() - wall, clocks.cpu() - cpu)

    taken = in_turns(calls, timed, rounds, seconds, lambda time_: time_.wall)
    best = {name: min(each, key=lambda time_: time_.wall) for name, each in taken.items()}
    return best, len(next(iter(taken.values())))


def disturbed(times: Mapping[str, Best], threads: int, fastest_control: float) -> bool:
    """Whether something else took the cores even in the fastest rounds.

    Parameters
    ----------
    times: mapping of str to Best
        Of one case, `CONTROL` among them.
    threads: int
        Threads that the calls may use.
    fastest_control: float
        Least wall time of the control in the whole process.
    """
    control = times[CONTROL]
    if abs(control.busy / threads - 1) > TOLERANCE or control.wall > SLOWER * fastest_control:
        return True
    # With several threads a call may be less busy because parts of it are serial.
    busy = [best.busy / threads for best in times.values()]
    return max(busy) > 1 + TOLERANCE or (threads == 1 and min(busy) < 1 - TOLERANCE)
