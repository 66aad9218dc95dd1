"""Time and count some steps of a training on made-up inputs."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from plugins.contracts.probe import Probed

__all__ = ["Enough", "Stopwatch"]

WARM_UP = {"cuda": 5, "cpu": 1}
"""Steps before the timed ones, by device: memory is allocated, kernels are chosen and compiled."""

NO_KERNELS = ("Memcpy", "Memset")
"""How the profiler names what a GPU does beside kernels."""


class Enough(Exception):
    """All steps of a probe are made; ends the training around them."""


class Stopwatch:
    """Times steps from the end of one to the end of the next, then counts what one step calls.

    On a GPU the ends are events in the stream, so that nothing waits that would not wait in
    training.

    Parameters
    ----------
    device: str
        ``cpu`` or ``cuda``.
    steps: int
        To be timed.
    """

    def __init__(self, device: str, steps: int) -> None:
        self.device, self.steps, self.warm_up = device, steps, WARM_UP[device]
        self.done, self.kernels = 0, 0
        self._ends: list[Any] = []
        self._profile: Any = None

    def after_step(self) -> None:
        """Note that a step has been made; raise `Enough` after the last one."""
        self.done += 1
        timed = self.done - self.warm_up
        if 0 <= timed <= self.steps:
            self._ends.append(self._now())
        if timed == self.steps:
            self._wait()
            activities = [ProfilerActivity.CPU]
            if self.device == "cuda":
                activities = [ProfilerActivity.CUDA]
            self._profile = profile(activities=activities)
            self._profile.start()
        elif timed > self.steps:
            self._wait()
            self._profile.stop()
            count = _kernels if self.device == "cuda" else _operators
            self.kernels = count(self._profile.events())
            raise Enough

    def result(self, inputs: str) -> Probed:
        """Return what was measured; `inputs` says what a step learnt from."""
        memory = {}
        if self.device == "cuda":
            memory["allocated_bytes"] = torch.cuda.max_memory_allocated()
            memory["reserved_bytes"] = torch.cuda.max_memory_reserved()
        pairs = zip(self._ends, self._ends[1:], strict=False)
        return Probed(
            milliseconds=tuple(self._between(*pair) for pair in pairs),
            warm_up=self.warm_up,
            inputs=inputs,
            kernels=self.kernels,
            **memory,
        )

    def _now(self) -> Any:
        if self.device == "cpu":
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def _between(self, first: Any, second: Any) -> float:
        """Return milliseconds."""
        took = 1000 * (second - first) if self.device == "cpu" else first.elapsed_time(second)
        return round(took, 3)

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def _kernels(events: Any) -> int:
    """Count kernels, without copies."""
    return sum(
        event.device_type == DeviceType.CUDA
        and not event.name.startswith(NO_KERNELS)
        and not event.is_user_annotation  # a named span of time
        for event in events
    )


def _operators(events: Any) -> int:
    """Count operators of torch's library that no other one calls."""
    return sum(_is_operator(event) and not _within_operator(event) for event in events)


def _is_operator(event: Any) -> bool:
    return str(event.name).startswith("aten::")


def _within_operator(event: Any) -> bool:
    outer = event.cpu_parent
    while outer is not None and not _is_operator(outer):
        outer = outer.cpu_parent
    return outer is not None
