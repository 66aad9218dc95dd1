"""Where a result comes from: code, packages, machine, data, weights."""

from __future__ import annotations

import os
import platform
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from typing import Any

from plugins.attention.core.word import Word
from plugins.contracts.tasks import find_task
from study import data
from study.data import weights
from study.files import read_json

__all__ = [
    *("MORE_VARIABLES", "PACKAGES", "SNAPSHOT_FILE", "cores", "git_state"),
    *("package_version", "processor", "provenance"),
]

PACKAGES = ("spatial-attention-study", "torch", "numpy")
"""Distributions that every run depends on; its task names others."""

SNAPSHOT_FILE = "snapshot.json"
"""File in a copy of the code that names its origin."""

VARIABLES = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
MORE_VARIABLES = "STUDY_RECORDED_VARIABLES"
"""Variable in which a launcher names further variables to record, such as a job's id."""

DIFF_LIMIT = 1_000_000  # characters of uncommitted changes that are kept


def provenance(science: dict[str, Any], device: str) -> dict[str, Any]:
    """Return the content of ``provenance.json``, for a run of a science configuration.

    Only the named variables of the environment are written: others may hold secrets.
    """
    data_name = science["recipe"]["data"]
    card = data.card(data_name)
    return {
        **git_state(),
        "packages": {name: package_version(name) for name in _distributions(science)},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cores": cores(),
        "threads": int(os.environ.get("OMP_NUM_THREADS", cores())),
        "device": device,
        "environment": {
            name: os.environ[name]
            for name in (*VARIABLES, *os.environ.get(MORE_VARIABLES, "").split())
            if name in os.environ
        },
        "data": {data_name: {"fingerprint": card["fingerprint"], "card": card["line"]}},
        "weights": weights.fingerprints(science),
    }


def _distributions(science: dict[str, Any]) -> list[str]:
    """Return the distributions whose versions a result depends on, as far as known."""
    task, word = find_task(science["task"]), Word.parse(science["mechanism"])
    owners = packages_distributions()
    modules = {type(each).__module__.partition(".")[0] for each in (task, *word.parts)}
    brought = sorted({name for module in modules for name in owners.get(module, ())})
    return list(dict.fromkeys([*PACKAGES, *task.packages, *brought]))


def git_state() -> dict[str, Any]:
    """Return the commit, and whether and how the tree differs from it; empty outside a checkout.

    A snapshot of the code returns the state at the time of the snapshot.
    """
    if (taken := read_json(Path(__file__).parents[2] / SNAPSHOT_FILE)) is not None:
        return taken
    try:
        commit = _git("rev-parse", "HEAD").strip()
        diff = _git("diff", "HEAD")
    except (OSError, subprocess.CalledProcessError):
        return {"commit": "", "dirty": False, "diff": ""}
    cut = diff[:DIFF_LIMIT]
    return {"commit": commit, "dirty": bool(diff), "diff": cut}


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def processor() -> str:
    """Return the processor's name: ``platform`` has none on Linux."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, errors="replace"
    ).stdout


def package_version(name: str) -> str:
    """Return the version of an installed distribution, empty if there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
