"""Measuring calls on an NVIDIA GPU.

Kernels run after the call that launches them has returned. So times are those between two events in
the GPU's queue; the queue is empty at the first, and the time of a call that launches slowly is
that of its launches.
"""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from study.benchmarks.devices.device import Call, CaptureFails, Launched, in_turns
from study.errors import StudyError

__all__ = ["Cuda", "launched_in"]

WARM_UP = 3
"""Calls on the side stream before a capture, as torch's documentation has it."""

REPLAYS, GRAPH_ROUNDS = 20, 5
"""Replays one after the other between two events, and how often that is timed."""

COPIES = ("gpu_memcpy", "gpu_memset")
"""Categories in a trace of torch's profiler, beside ``kernel``."""

REASON_LENGTH = 160


class Cuda:
    """The GPU that torch uses by default.

    Raises
    ------
    StudyError
        If torch finds none.
    """

    kind = "cuda"

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            built = (
                "" if torch.version.cuda else f" (torch {torch.__version__} is built without CUDA)"
            )
            raise StudyError(f"--device cuda: torch finds no GPU on this machine{built}")
        self.name = torch.cuda.get_device_name()

    def times(
        self, calls: Mapping[str, Call], rounds: int, seconds: float
    ) -> dict[str, list[float]]:
        """Return the times between an event before each call and one after it."""
        return in_turns(calls, _between_events, rounds, seconds, float)

    def graph(self, call: Call) -> float:
        """Return the median time of a replay: one launch for all of the call's kernels."""
        graph = _captured(call)

        def replays() -> None:
            for _ in range(REPLAYS):
                graph.replay()

        replays()
        taken = in_turns({"": replays}, _between_events, GRAPH_ROUNDS, 0.0, float)[""]
        return statistics.median(taken) / REPLAYS

    def launched(self, call: Call) -> Launched | None:
        """Count in a trace of torch's profiler; None if it may not look at the GPU."""
        call()
        torch.cuda.synchronize()
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            call()
            torch.cuda.synchronize()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trace.json"
            profiler.export_chrome_trace(str(path))
            return launched_in(json.loads(path.read_text()))

    def peak(self, call: Call) -> int:
        """Return how far torch's allocator went above what was allocated before."""
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        call()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before


def launched_in(trace: Mapping[str, Any]) -> Launched | None:
    """Count the launches in a trace as torch's profiler exports it; None if it has none."""
    found = [event.get("cat") for event in trace["traceEvents"] if event.get("ph") == "X"]
    kernels, copies = found.count("kernel"), sum(found.count(each) for each in COPIES)
    return Launched(kernels, copies) if kernels + copies else None


def _between_events(call: Call) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def _refuse_to_wait(call: Call) -> None:
    """Raise CaptureFails if the call waits for the GPU.

    A capture would find that out too, but one that is broken off keeps the memory that it took.
    """
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        call()
    except RuntimeError as error:
        raise CaptureFails(_reason(error)) from error
    finally:
        torch.cuda.set_sync_debug_mode(before)


def _captured(call: Call) -> torch.cuda.CUDAGraph:
    """Capture; see https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs."""
    _refuse_to_wait(call)
    before, side = torch.cuda.current_stream(), torch.cuda.Stream()
    side.wait_stream(before)
    with torch.cuda.stream(side):
        for _ in range(WARM_UP):
            call()
    before.wait_stream(side)
    graph, cause = torch.cuda.CUDAGraph(), None
    try:
        with torch.cuda.graph(graph):
            try:
                call()
            except Exception as error:
                cause = error  # the end of the capture may raise another one in its place
                raise
    except Exception as error:
        raise CaptureFails(_reason(cause or error)) from error
    finally:
        torch.cuda.set_stream(before)  # a capture that fails to end leaves its own
    torch.cuda.synchronize()
    return graph


def _reason(error: Exception) -> str:
    """The first line of a message; those of CUDA go on with advice."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:REASON_LENGTH]
