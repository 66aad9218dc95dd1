"""Where a result comes from: code, packages, machine, data, weights."""

from __future__ import annotations

import os
import platform
import re
import socket
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from plugins.attention.core.word import Word
from plugins.contracts.tasks import find_task
from study import data
from study.data import weights
from study.runs.code import content, git_state, outside

__all__ = [
    *("MORE_VARIABLES", "PACKAGES", "cores", "modules_of", "packages_of"),
    *("package_version", "processor", "provenance", "threads"),
]

PACKAGES = ("spatial-attention-study", "torch", "numpy")
"""Distributions that every run depends on; its task names others."""

VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"),
    *("CUDA_LAUNCH_BLOCKING", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE"),
    *("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "PYTORCH_CUDA_ALLOC_CONF", "PYTHONPATH"),
    *("STUDY_FUSED", "WORLD_SIZE"),
)
"""Variables that change what is calculated, or how fast."""
MORE_VARIABLES = "STUDY_RECORDED_VARIABLES"
"""Variable in which a launcher names further variables to record, such as a job's id."""


def provenance(science: dict[str, Any], device: str, gpu: str | None) -> dict[str, Any]:
    """Return the content of ``provenance.json``, for a run of a science configuration.

    `gpu` is the name of the GPU that is used, as torch says it, None on a CPU. Only the named
    variables of the environment are written: others may hold secrets.
    """
    data_name = science["recipe"]["data"]
    card = data.card(data_name)
    modules = modules_of(science)
    return {
        **git_state(),
        "code": content(),
        "outside": outside(modules),
        "packages": packages_of(science["task"], modules),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cores": cores(),
        "threads": threads(),
        "device": device,
        "gpu": gpu,
        "environment": {
            name: os.environ[name]
            for name in (*VARIABLES, *os.environ.get(MORE_VARIABLES, "").split())
            if name in os.environ
        },
        "data": {data_name: {"fingerprint": card["fingerprint"], "card": card["line"]}},
        "weights": weights.fingerprints(science),
    }


def modules_of(science: dict[str, Any]) -> set[str]:
    """Return the modules of the task, the mechanisms and the data set of a run."""
    task, word = find_task(science["task"]), Word.parse(science["mechanism"])
    found = {type(each).__module__ for each in (task, *word.parts)}
    return found | {data.module_of(science["recipe"]["data"])}


def packages_of(task: str, modules: Iterable[str]) -> dict[str, str]:
    """Return the versions of the distributions that a result depends on, as far as known."""
    owners = packages_distributions()
    tops = {module.partition(".")[0] for module in modules}
    brought = sorted({name for top in tops for name in owners.get(top, ())})
    named = dict.fromkeys([*PACKAGES, *find_task(task).packages, *brought])
    return {name: package_version(name) for name in named}


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def threads() -> int:
    """Return how many threads a product is divided among: OMP_NUM_THREADS, else the cores."""
    first = re.match(r"\s*(\d+)", os.environ.get("OMP_NUM_THREADS", ""))  # it may be a list
    return int(first[1]) if first and int(first[1]) else cores()


def processor() -> str:
    """Return the processor's name: ``platform`` has none on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def package_version(name: str) -> str:
    """Return the version of an installed distribution, empty if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
