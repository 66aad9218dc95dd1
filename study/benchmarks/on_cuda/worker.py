"""Measuring the sides of each setting on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from study.benchmarks.cases import Case
from study.benchmarks.devices.device import CaptureFails, Device
from study.benchmarks.on_cuda.cases import settings
from study.benchmarks.on_cuda.rows import OURS
from study.benchmarks.sides import Side, build

__all__ = ["measure", "step_of"]

WARM_UP = 2
"""Steps of each side before anything is measured."""

FLEX_SECONDS = 20.0
"""To compile FlexAttention for a shape; once it has taken longer, it is left out."""


class Autocast(nn.Module):
    """A module whose products are in a lower precision where torch thinks that safe."""

    def __init__(self, module: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.module, self.dtype = module, dtype

    def forward(self, x: Tensor) -> Tensor:
        """Call the module."""
        with torch.autocast(x.device.type, self.dtype):
            return self.module(x)


def step_of(case: Case, side: str, device: str) -> Side:
    """Build one side of a case on a device, in the case's precision."""
    made = build(case, side)
    module, x = made.module.to(device), made.x.detach().to(device).requires_grad_()
    if case.precision == "bfloat16":
        module = Autocast(module, torch.bfloat16)
    return Side(module, x, made.seed.to(device))


def measure(
    cases: Sequence[Case], device: Device, rounds: int, seconds: float
) -> Iterator[dict[str, Any]]:
    """Measure all sides of each setting; one answer a setting.

    A side that fails has a reason instead of numbers, and the others go on.
    """
    # As in torch's matrix products; its convolutions would take TF32 for float32.
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    compiling = 0.0
    for group in settings(list(cases)):
        wanted = {OURS: (group[0], "ours")} | {
            case.reference: (case, "reference") for case in group
        }
        sides, answers = {}, {}
        for name, (case, which) in wanted.items():
            answers[name] = _blank()
            if name == "flex" and compiling > FLEX_SECONDS:
                answers[name]["failure"] = (
                    f"left out: another shape took {compiling:.0f} s to compile"
                )
                continue
            begun = time.perf_counter()
            try:
                sides[name] = step_of(case, which, device.kind)
                answers[name]["module"] = _kind(sides[name].module)
                for _ in range(WARM_UP):
                    sides[name].step()
            except Exception as error:
                answers[name]["failure"] = f"step fails: {_line(error)}"
                sides.pop(name, None)
            if name == "flex":
                compiling = time.perf_counter() - begun
        calls = {name: side.step for name, side in sides.items()}
        for name, taken in device.times(calls, rounds, seconds).items():
            answers[name] |= {"rounds": len(taken), "eager": statistics.median(taken)}
        for name, side in sides.items():
            answers[name] |= _of_one(side, device)
        yield answers


def _of_one(side: Side, device: Device) -> dict[str, Any]:
    """What is no matter of turns. A capture that fails can leave traces: it comes last."""
    side.forget()
    peak = device.peak(side.step)
    launched = device.launched(side.step)
    found: dict[str, Any] = {"peak": peak}
    if launched is not None:
        found |= {"kernels": launched.kernels, "copies": launched.copies}
    try:
        found["graph"] = device.graph(side.step)
    except CaptureFails as error:
        found["failure"] = f"capture fails: {error}"
    side.forget()
    return found


def _blank() -> dict[str, Any]:
    names = ("module", "rounds", "eager", "graph", "kernels", "copies", "peak")
    return {**dict.fromkeys(names), "failure": ""}


def _kind(module: nn.Module) -> str:
    """The class that is at work: fairseq takes another one where its CUDA kernel is built."""
    return type(module.module if isinstance(module, Autocast) else module).__name__


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
