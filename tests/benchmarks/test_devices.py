"""Measuring on a GPU, as far as a machine without one can show it: events and graphs are played."""

from __future__ import annotations

import json
from contextlib import contextmanager

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from study.benchmarks.devices import cuda
from study.benchmarks.devices.cuda import Cuda, launched_in
from study.benchmarks.devices.device import CaptureFails, Launched
from study.errors import StudyError


class Queue:
    """Stands in for ``torch.cuda``: a clock, streams, an allocator and graphs."""

    def __init__(self, monkeypatch):
        self.now = self.allocated = self.most = 0.0
        self.current, self.replayed, self.waiting = "default", 0, 0
        self.end_of_capture = None
        queue = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.at = queue.now

            def synchronize(self):
                pass

            def elapsed_time(self, other):
                return other.at - self.at

        class Stream:
            def wait_stream(self, other):
                pass

        class Graph:
            def replay(self):
                queue.replayed += 1
                queue.now += 0.5

        @contextmanager
        def stream(chosen):
            yield

        @contextmanager
        def graph(captured):
            queue.set("capturing")
            try:
                yield
            finally:
                if queue.end_of_capture:
                    raise queue.end_of_capture
            queue.set("default")

        played = {
            "Event": Event,
            "Stream": Stream,
            "CUDAGraph": Graph,
            "stream": stream,
            "graph": graph,
            "is_available": lambda: True,
            "get_device_name": lambda: "NVIDIA H200",
            "current_stream": lambda: _Current(queue),
            "set_stream": lambda which: queue.set(which.name),
            "synchronize": lambda: None,
            "get_sync_debug_mode": lambda: queue.waiting,
            "set_sync_debug_mode": lambda mode: setattr(queue, "waiting", mode),
            "reset_peak_memory_stats": lambda: setattr(queue, "most", queue.allocated),
            "memory_allocated": lambda: queue.allocated,
            "max_memory_allocated": lambda: queue.most,
        }
        for name, value in played.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def set(self, name):
        self.current = name


class _Current:
    def __init__(self, queue):
        self.name = queue.current

    def wait_stream(self, other):
        pass


@pytest.fixture
def queue(monkeypatch):
    return Queue(monkeypatch)


def test_a_machine_without_a_gpu_says_so(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(StudyError, match=r"^--device cuda: torch finds no GPU on this machine"):
        Cuda()


def test_times_are_those_between_events_of_calls_in_turns(queue):
    order = []

    def call(name, milliseconds):
        def run():
            order.append(name)
            queue.now += milliseconds

        return run

    taken = Cuda().times({"a": call("a", 2.0), "b": call("b", 3.0)}, 3, 0.0)
    assert taken == {"a": [0.002] * 3, "b": [0.003] * 3}
    assert "".join(order) == "ababab"


def test_memory_is_the_peak_above_what_was_there(queue):
    queue.allocated = 100

    def call():
        queue.most = queue.allocated + 70  # and frees it again

    assert Cuda().peak(call) == 70


def test_a_graph_is_timed_by_its_replays_alone(queue):
    def call():
        queue.now += 100  # what launching takes

    assert Cuda().graph(call) == pytest.approx(0.0005)
    assert queue.replayed == cuda.REPLAYS * (cuda.GRAPH_ROUNDS + 1)


def test_a_capture_that_fails_gives_its_first_reason_and_the_stream_back(queue):
    queue.end_of_capture = RuntimeError("operation failed due to a previous error during capture")

    def call():
        if queue.current == "capturing":
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nHint")

    with pytest.raises(CaptureFails) as failed:
        Cuda().graph(call)
    assert str(failed.value) == "CUDA error: operation not permitted when stream is capturing"
    assert queue.current == "default"


def test_a_call_that_waits_for_the_gpu_is_never_captured(queue):
    seen = []

    def call():
        seen.append(queue.current)
        if queue.waiting == "error":
            raise RuntimeError("called a synchronizing CUDA operation")

    with pytest.raises(CaptureFails, match=r"^called a synchronizing CUDA operation$"):
        Cuda().graph(call)
    assert seen == ["default"]
    assert queue.waiting == 0


def test_kernels_are_told_from_copies_and_from_what_the_host_does(tmp_path):
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        torch.ones(3).exp()
    profiler.export_chrome_trace(str(tmp_path / "trace.json"))
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert any(event.get("cat") == "cpu_op" for event in trace["traceEvents"])
    assert launched_in(trace) is None
    # As Kineto writes what a GPU did.
    for category, name in (
        ("kernel", "void at::native::vectorized_elementwise_kernel<4, ...>"),
        ("kernel", "nvjet_hsh_64x8_64x16"),
        ("kernel", "Memcpy-like name of somebody's kernel"),
        ("gpu_memcpy", "Memcpy HtoD (Pageable -> Device)"),
        ("gpu_memset", "Memset (Device)"),
        ("cuda_runtime", "cudaLaunchKernel"),
        ("gpu_user_annotation", "ProfilerStep#1"),
    ):
        trace["traceEvents"].append(
            {"ph": "X", "cat": category, "name": name, "pid": 0, "tid": 7, "ts": 1.0, "dur": 2.0}
        )
    trace["traceEvents"].append({"ph": "s", "cat": "kernel", "name": "an arrow to a kernel"})
    assert launched_in(trace) == Launched(kernels=3, copies=2)
