"""What every device can measure of a call, and the turns in which calls are timed."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

__all__ = ["Call", "CaptureFails", "Device", "Launched", "in_turns"]

Call = Callable[[], object]
T = TypeVar("T")


class CaptureFails(Exception):
    """A call cannot be captured as one graph; the message is the reason, in a line."""


@dataclass(frozen=True)
class Launched:
    """What a call put into a GPU's queue: kernels, and copies and fillings of memory."""

    kernels: int
    copies: int


class Device(Protocol):
    """Where calls are measured.

    Attributes
    ----------
    kind: str
        torch's word, ``cpu`` or ``cuda``.
    name: str
        The GPU's name; empty for a CPU, whose name stands with the machine's.
    """

    kind: str
    name: str

    def times(
        self, calls: Mapping[str, Call], rounds: int, seconds: float
    ) -> dict[str, list[float]]:
        """Return the seconds that each call took in each round; the calls take turns.

        There are at least so many rounds, and further ones until all has taken so many seconds.
        """
        ...

    def graph(self, call: Call) -> float:
        """Return the seconds of the same work without the launches: one graph, replayed.

        Raises
        ------
        CaptureFails
            If the call does what a graph cannot hold, such as to wait for a result.
        """
        ...

    def launched(self, call: Call) -> Launched | None:
        """Return what the call launches; None if that cannot be known."""
        ...

    def peak(self, call: Call) -> int:
        """Return by how many bytes the call drove up the memory in use at once."""
        ...


def in_turns(
    calls: Mapping[str, Call],
    timed: Callable[[Call], T],
    rounds: int,
    seconds: float,
    length: Callable[[T], float],
) -> dict[str, list[T]]:
    """Run the calls in turns (A B A B ...), so that slow drifts of a machine meet all alike.

    Parameters
    ----------
    calls: mapping of str to callable
        Called in this order in each round.
    timed: callable
        Runs a call and returns what it took.
    rounds: int
        At least so many.
    seconds: float
        Further rounds follow until the calls have taken so long together.
    length: callable
        The seconds in what `timed` returns.
    """
    taken: dict[str, list[T]] = {name: [] for name in calls}
    spent, done = 0.0, 0
    with _no_collection():
        while calls and (done < rounds or spent < seconds):
            for name, call in calls.items():
                taken[name].append(timed(call))
                spent += length(taken[name][-1])
            done += 1
    return taken


@contextmanager
def _no_collection() -> Iterator[None]:
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()
