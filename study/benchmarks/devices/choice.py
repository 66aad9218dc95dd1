"""The devices by torch's word."""

from __future__ import annotations

from study.benchmarks.devices.cpu import Cpu
from study.benchmarks.devices.cuda import Cuda

__all__ = ["DEVICES"]

DEVICES: dict[str, type[Cpu] | type[Cuda]] = {"cpu": Cpu, "cuda": Cuda}
