"""What a machine needs for the study, and whether it is there."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

from study import data
from study.launch.protocol import Check, find_launcher, launcher_names
from study.runs.provenance import PACKAGES

__all__ = ["run_checks"]

TIMEOUT = 120  # seconds for a framework to import; a cold disk takes its time


def run_checks() -> list[Check]:
    """Look at everything, the imports in processes of their own."""
    return [
        _python(),
        *(_package(name) for name in PACKAGES),
        _import("compiled mmcv ops", "from mmcv.ops import nms, RoIAlign"),
        _import("MMDetection imports", "import mmdet.datasets, mmdet.models"),
        _import("MMSegmentation imports", "import mmseg.datasets, mmseg.models"),
        _import("fairseq imports", "import fairseq.models, fairseq.tasks"),
        *(check for name in launcher_names() for check in find_launcher(name).checks()),
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
