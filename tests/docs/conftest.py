"""What tests share that follow a page to the letter."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# pytest's importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
def reader(tmp_path, monkeypatch):
    """Return the empty folder of somebody who reads a page, with the study installed.

    What they install goes into a folder of its own, and nothing is downloaded.
    """
    site = tmp_path / "site"
    for name in ("STUDY_RUNS", "STUDY_RESULTS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "PIP_TARGET": str(site),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",  # by pip's logic: build with the setuptools that is here
        "STUDY_DATA": str(tmp_path / "data"),
        "COLUMNS": "200",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(site)
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder
