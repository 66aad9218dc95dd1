"""docs/cluster.md, 'Add your cluster', followed to the letter on a real one."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from page import Page, shell

GRID = """
task: toy
recipe: {epochs: 2}
product: {mechanism: [none, "1111", "0010"]}
"""

# The cluster's GPUs are /dev/null, which torch must be told in the worker.
LENT = """
import sys

if "study.worker" in sys.orig_argv:
    import torch

    torch.version.cuda = torch.version.cuda or "none"
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: 1
    torch.cuda.get_device_name = lambda device=None: "/dev/null"
"""


@pytest.fixture
def home(cluster, toy, tmp_path, monkeypatch):
    """The home of somebody who has Slurm, the study and a grid, and no profile yet."""
    toy(GRID, "my_grid.yaml")
    (tmp_path / "site/toytask/__init__.py").write_text(LENT)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    yield tmp_path
    cluster.clear()


def test_the_steps_of_the_page_lead_from_a_profile_to_a_finished_grid(cluster, home):
    section = Page("cluster.md", "Add your cluster")
    ((name, profile),) = section.files().items()
    place = home / name.removeprefix("~/")
    place.parent.mkdir(parents=True)
    place.write_text(profile)
    (commands,) = section.commands()
    doctor, plan, dry_run, first, watch, others, watch_all = commands.splitlines()
    assert "sbatch" in shell(doctor).stdout
    assert "3.0 GPU-hours: 3 runs, one job each up to mine's time limit" in shell(plan).stdout
    script = shell(dry_run).stdout
    for option in ("partition=normal", "gpus-per-node=1", "cpus-per-task=2", "time=60"):
        assert f"#SBATCH --{option}\n" in script
    assert not (home / "runs").exists()
    assert not cluster.run("squeue", "-h")
    assert "1 runs" in shell(first).stdout
    assert "completed" in shell(watch).stdout
    (run,) = (home / "runs").glob("toy-*")
    submission = json.loads((run / "attempts" / "1" / "submission.json").read_text())
    assert submission["launcher"] == "slurm"
    assert "2 runs" in shell(others).stdout
    shell(watch_all)
    assert len(list((home / "runs").glob("toy-*/result.json"))) == 3
