"""A small grid through `study run`, and through a shell loop over MMDetection's train script.

Both sides train the same detectors with the same seeds on the same machine, one side after the
other. The loop is what a user of MMDetection would write: one training after another, each with all
cores and a process that imports everything anew. `study run` divides the cores among slots instead,
and forks its workers from a process that has imported the framework once.
"""

from __future__ import annotations

import importlib.util
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from study.benchmarks.comparison import Comparison, Timing, Training, tables
from study.environment import child_environment
from study.errors import StudyError
from study.worker.child import ask

__all__ = ["DATA", "VERSIONS", "measure", "tables", "trainings"]

VERSIONS = ("torch", "onedl-mmcv", "onedl-mmengine", "onedl-mmdetection")
"""Distributions on whose versions the numbers depend."""

DATA = "trees"
"""Prepared data set that both sides train on."""

RECIPE: dict[str, Any] = {
    "data": DATA,
    "epochs": 4,
    "decay_epochs": [3],
    "learning_rate": 2e-3,
    "warmup_iterations": 30,
    "rois": 32,
}
"""That of ``grids/demo/detection.yaml``."""

QUICK_RECIPE = RECIPE | {
    "epochs": 1,
    "batch_size": 16,
    "image_scale": [64, 64],
    "rois": 8,
    "proposals": 20,
}

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

SHELL_LOOP = """
for config in "$1"/*.py; do
    "$2" "$3" "$config" --work-dir "$4/$(basename "$config" .py)" || exit 1
done
"""


def trainings(quick: bool) -> list[Training]:
    """Return the 12 trainings, or 2 small ones."""
    if quick:
        return [Training("none", 0), Training("0010", 0)]
    mechanisms = ("none", "1111", "0010", "0010+deformable")
    return [Training(mechanism, seed) for mechanism in mechanisms for seed in (0, 1, 2)]


def measure(data: Path, slots: int, quick: bool, progress: Callable[[str], None]) -> Comparison:
    """Carry out both sides, the loop first.

    Parameters
    ----------
    data: Path
        The prepared data set :data:`DATA`.
    slots: int
        Trainings at a time in `study run`.
    quick: bool
        Two small trainings, the loop's with as many threads as one of ours has: then the weights
        must agree to the last bit, and times mean nothing.
    progress: callable
        Called with what is about to be done.

    Raises
    ------
    StudyError
        If a side fails, or if the sides did not do the same work.
    """
    chosen, recipe = trainings(quick), QUICK_RECIPE if quick else RECIPE
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        configs, work, runs = (folder / name for name in ("configs", "work", "runs"))
        configs.mkdir()
        # This also brings libraries and data into the page cache, which the first side lacks.
        progress("writing the configs")
        named = [vars(cell) | {"name": cell.name} for cell in chosen]
        told = {"cells": named, "recipe": recipe, "data": str(data), "folder": str(configs)}
        ask("study.benchmarks.stock:write", told)
        for path in data.rglob("*.*"):
            path.read_bytes()
        progress(f"{len(chosen)} trainings by MMDetection's script")
        theirs_timing = _loop(configs, work, folder / "log", quick, slots)
        progress(f"{len(chosen)} trainings by study run")
        ours_timing = _study(chosen, recipe, folder, runs, slots)
        progress("comparing")
        made = _run_folders(runs)
        folders = [made[cell] for cell in chosen] + [work / cell.name for cell in chosen]
        done = ask("study.benchmarks.stock:read", {"folders": [str(path) for path in folders]})
    sides = (
        dict(zip(chosen, half, strict=True)) for half in (done[: len(chosen)], done[len(chosen) :])
    )
    found = Comparison(slots, ours_timing, theirs_timing, *sides)
    for cell, mine, other in found.pairs():
        for key in ("epochs", "iterations", *(("weights",) if quick else ())):
            if mine[key] != other[key]:
                raise StudyError(f"{cell.name}: {key} {mine[key]} here, {other[key]} there")
    return found


def _loop(configs: Path, work: Path, log: Path, quick: bool, slots: int) -> Timing:
    """Return how long the shell loop takes."""
    environment = {
        name: value for name, value in child_environment().items() if name not in THREADS
    }
    if quick:
        threads = max(1, len(os.sched_getaffinity(0)) // slots)
        environment |= dict.fromkeys(THREADS, str(threads))
    command = ["bash", "-c", SHELL_LOOP, "bash", str(configs), sys.executable, str(_script())]
    return _timed([*command, str(work)], environment, log)


def _script() -> Path:
    """Return MMDetection's ``tools/train.py``, which its distribution carries along."""
    found = importlib.util.find_spec("mmdet")
    if found is None or found.origin is None:
        raise StudyError("MMDetection is not installed")
    return Path(found.origin).parent / ".mim" / "tools" / "train.py"


def _study(
    chosen: list[Training], recipe: dict[str, Any], folder: Path, runs: Path, slots: int
) -> Timing:
    """Return how long `study run` takes."""
    grid = folder / "grid.yaml"  # JSON is YAML
    product = {"mechanism": list(dict.fromkeys(cell.mechanism for cell in chosen))}
    seeds = list(dict.fromkeys(cell.seed for cell in chosen))
    told = {"task": "detection", "recipe": recipe, "product": product, "seeds": seeds}
    grid.write_text(json.dumps(told))
    command = [sys.executable, "-m", "study", "run", str(grid), "--slots", str(slots)]
    return _timed([*command, "--runs", str(runs)], dict(os.environ), folder / "log")


def _timed(command: list[str], environment: dict[str, str], log: Path) -> Timing:
    with log.open("w+") as file:
        before, wall = _processor_seconds(), time.perf_counter()
        done = subprocess.run(
            command, env=environment, stdout=file, stderr=subprocess.STDOUT, check=False
        )
        wall = time.perf_counter() - wall
        own, everything = (
            now - then for now, then in zip(_processor_seconds(), before, strict=True)
        )
        if done.returncode:
            file.seek(0)
            raise StudyError(f"{command[0]} failed:\n{file.read()[-4000:]}")
    return Timing(wall, own, everything - own)


def _processor_seconds() -> tuple[float, float]:
    """Return what the ended children of this process took until now, and what all processes did."""
    own = resource.getrusage(resource.RUSAGE_CHILDREN)
    whole = psutil.cpu_times()
    idle = whole.idle + getattr(whole, "iowait", 0.0)
    # Linux counts the time of guests as user time, too.
    guests = getattr(whole, "guest", 0.0) + getattr(whole, "guest_nice", 0.0)
    return own.ru_utime + own.ru_stime, sum(whole) - guests - idle


def _run_folders(runs: Path) -> dict[Training, Path]:
    """Return where MMEngine worked in each run folder."""
    found = {}
    for path in runs.glob("*/run.json"):
        science = json.loads(path.read_text())["science"]
        found[Training(science["mechanism"], science["seed"])] = path.parent / "checkpoints"
    return found
