"""What a machine needs for the study, and whether it is there."""

from __future__ import annotations

import importlib
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from plugins.contracts.task import Task
from plugins.contracts.tasks import find_task, task_names
from plugins.contracts.weights import WeightsFile
from study import data
from study.data import weights
from study.errors import StudyError
from study.grid.reading import find, load
from study.launch.gpus import visible_gpus
from study.launch.protocol import Check, find_launcher, launcher_names
from study.runs.provenance import PACKAGES
from study.worker.child import ask

__all__ = ["kernel_check", "operators_check", "run_checks", "weights_checks"]

GRIDS = Path(__file__).parents[2] / "grids"
"""The grids that come with the study, in a checkout."""

TIMEOUT = 120  # seconds for a framework to import; a cold disk takes its time

CUDA_BUILD = (
    "with nvcc and a compiler: pip cache remove onedl-mmcv, make clean setup (docs/cluster.md,"
    " 'Install it'); until then detection ends in an error on a GPU"
)

WITHOUT_KERNELS = "please report it; STUDY_FUSED=0 in the environment does without the kernels"


def run_checks() -> list[Check]:
    """Check everything; each import has a process of its own, two at a time."""
    tasks = [find_task(name) for name in task_names()]
    packages = dict.fromkeys([*PACKAGES, *(name for task in tasks for name in task.packages)])
    with ThreadPoolExecutor(max_workers=2) as pool:
        imports = [*pool.map(_imports, (task for task in tasks if task.imports))]
    return [
        _python(),
        *(_package(name) for name in packages),
        *imports,
        *(check for name in launcher_names() for check in find_launcher(name).checks()),
        *_operators(),
        *_kernels(),
        *_data(),
        *weights_checks(),
    ]


def _python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Check("Python", platform.python_version(), ok, "install Python 3.11 or 3.12")


def _package(name: str) -> Check:
    try:
        return Check(name, version(name), ok=True)
    except PackageNotFoundError:
        return Check(name, "missing", ok=False, remedy="make setup")


def import_here(modules: list[str]) -> None:
    """Import modules, in a process of their own that they may change in any way."""
    for name in modules:
        importlib.import_module(name)


def _imports(task: Task) -> Check:
    what = f"{task.name} imports"
    try:
        ask(f"{__name__}:import_here", {"modules": task.imports}, seconds=TIMEOUT)
    except (StudyError, TimeoutError) as error:
        return Check(what, str(error)[:100], ok=False, remedy="make setup")
    return Check(what, "can be imported", ok=True)


def _operators() -> list[Check]:
    """Ask with what the compiled operators of detection and segmentation were compiled."""
    try:
        version = ask("plugins.openmmlab.operators:cuda_version", {}, seconds=TIMEOUT)
    except (StudyError, TimeoutError):
        return []  # the lines about imports say it
    return [operators_check(version, _has_gpu())]


def operators_check(version: str | None, gpu: bool) -> Check:
    """Judge with which CUDA, None for none, operators were compiled on a machine with a GPU or not.

    Without one, such as the login node of a cluster, either will do.
    """
    found = f"compiled with CUDA {version}" if version else "compiled for CPUs alone"
    return Check("mmcv's operators", found, bool(version) or not gpu, CUDA_BUILD)


def _has_gpu() -> bool:
    try:
        return bool(visible_gpus())
    except StudyError:
        return False  # the line about GPUs says it


def _kernels() -> list[Check]:
    """Try the kernels of attention on the first GPU, if there is one."""
    if not _has_gpu():
        return []
    what = "attention on the GPU"
    try:
        found = ask("plugins.attention.kernels.attend.trial:trial", {"device": "cuda"}, seconds=600)
    except (StudyError, TimeoutError) as error:
        return [
            Check(what, str(error)[:200], ok=False, remedy="STUDY_FUSED=0 does without kernels")
        ]
    return [kernel_check(what, **found)]


def kernel_check(
    what: str, device: str, kernel: bool, deviations: dict[str, float], largest: dict[str, float]
) -> Check:
    """Judge a trial of the kernels, see :mod:`plugins.attention.kernels.attend.trial`."""
    said = ", ".join(f"{kind} {value:.0e}" for kind, value in deviations.items())
    how = "fused kernels" if kernel else "without fused kernels, which is slower"
    ok = all(value <= largest[kind] for kind, value in deviations.items())
    found = f"{device}: {how}; off by {said} at most"
    return Check(what, found, ok, WITHOUT_KERNELS)


def _data() -> list[Check]:
    return [
        Check("data in", str(data.data_root()), ok=True),
        *(
            Check(
                f"data {name}",
                "prepared" if data.is_prepared(name) else "not prepared",
                data.is_prepared(name),
                f"study data prepare {name}" + " --from YOUR_COPY" * data.from_copy(name),
                optional=True,
            )
            for name in data.names()
        ),
    ]


def weights_checks() -> list[Check]:
    """Check the files that the grids which come with the study start from."""
    asked: dict[WeightsFile, Path] = {}
    for path in find([GRIDS]) if GRIDS.is_dir() else ():
        for file in weights.needed(run.science for run in load(path).runs()[:1]):
            asked.setdefault(file, path)
    checks = []
    for file, grid in asked.items():
        said, where = weights.problem(file), grid.relative_to(GRIDS.parent)
        remedy = f"study data weights {where}, or put {file.url} there yourself"
        checks.append(
            Check(f"weights {file.name}", said or str(file.path), not said, remedy, optional=True)
        )
    return checks
