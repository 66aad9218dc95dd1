"""What a machine needs for the study, and whether it is there."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from study import data
from study.launch.local import visible_gpus
from study.runs.provenance import PACKAGES, cores

__all__ = ["Check", "run_checks"]

TIMEOUT = 120  # seconds for a framework to import; a cold disk takes its time


@dataclass(frozen=True)
class Check:
    """One line of ``study doctor``.

    Attributes
    ----------
    what, found: str
        The subject, and what is there.
    ok: bool
        Whether that is enough.
    remedy: str
        The command that brings what is missing.
    optional: bool
        Whether the study works without it.
    """

    what: str
    found: str
    ok: bool
    remedy: str = ""
    optional: bool = False


def run_checks() -> list[Check]:
    """Look at everything, the imports in processes of their own."""
    return [
        _python(),
        *(_package(name) for name in PACKAGES),
        _import("compiled mmcv ops", "from mmcv.ops import nms, RoIAlign"),
        _import("MMDetection imports", "import mmdet.datasets, mmdet.models"),
        _import("MMSegmentation imports", "import mmseg.datasets, mmseg.models"),
        _import("fairseq imports", "import fairseq.models, fairseq.tasks"),
        Check("cores", f"{cores()}, divided among the slots of a study run", ok=True),
        _gpus(),
        _slurm(),
        *_data(),
    ]


def _python() -> Check:
    ok = (3, 11) <= sys.version_info[:2] < (3, 13)
    return Check("Python", platform.python_version(), ok, "install Python 3.11 or 3.12")


def _package(name: str) -> Check:
    try:
        return Check(name, version(name), ok=True)
    except PackageNotFoundError:
        return Check(name, "missing", ok=False, remedy="make setup")


def _import(what: str, statement: str) -> Check:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", statement],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    found = "yes" if done.returncode == 0 else (lines[-1][:100] if lines else "no")
    return Check(what, found, done.returncode == 0, "make setup")


def _gpus() -> Check:
    gpus = visible_gpus()
    found = f"{len(gpus)}: {', '.join(gpus)}" if gpus else "none: runs use the CPU"
    return Check("GPUs", found, bool(gpus), "a CUDA driver with nvidia-smi", optional=True)


def _slurm() -> Check:
    path = shutil.which("sbatch")
    return Check("Slurm", path or "no sbatch", path is not None, "log in to a cluster", True)


def _data() -> list[Check]:
    return [
        Check("data in", str(data.data_root()), ok=True),
        *(
            Check(
                f"data {name}",
                "prepared" if data.is_prepared(name) else "not prepared",
                data.is_prepared(name),
                f"study data prepare {name}",
                optional=True,
            )
            for name in data.datasets()
        ),
    ]
