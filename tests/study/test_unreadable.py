"""A run that its owner lets nobody read is one broken run, and the others go on."""

import json
import os
import shlex
import subprocess
import sys

import pytest

from .made import ended, finished, planned

SOMEBODY = 65534
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
ORDINARY += ["--inh-caps=-dac_override,-dac_read_search", sys.executable, "-m", "study"]
"""The command, without root's right to read everything."""


@pytest.fixture
def private(toy, tmp_path):
    """Three runs, of which one belongs to a colleague with umask 077."""
    if os.geteuid() != 0:
        pytest.skip("only root may give a folder to somebody else")
    root = tmp_path / "runs"
    for seed in range(3):
        folder = planned(root, seed=seed)
    finished(planned(root, seed=0))
    ended(planned(root, seed=1), "failed", "ValueError: no")
    os.chown(folder.path, SOMEBODY, SOMEBODY)
    folder.path.chmod(0o700)
    return folder.path.name


def ordinary(*arguments):
    command = [*ORDINARY, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_every_verb_names_it_and_goes_on(private, toy, tmp_path):
    grid = toy("task: toy\nproduct: {mechanism: [1111]}\nseeds: [0, 1, 2]\n")
    for words in (["status"], ["status", grid]):
        shown = ordinary(*words)
        assert shown.returncode == 1, shown.stderr
        for told in ("1 completed", "1 failed", "1 broken", f"{private}  ", "may not be read"):
            assert told in shown.stdout
    (row,) = json.loads(ordinary("status", "--state", "broken", "--json").stdout)
    assert "chmod -R g+rX by nobody" in row["error"]
    assert ordinary("watch", "--every", "0.2").returncode == 1
    command = shlex.join([*ORDINARY, "watch", "--every", "0.2"])
    table = ["script", "--quiet", "--return", "--command", command, "/dev/null"]  # on a terminal
    shown = subprocess.run(table, capture_output=True, text=True, check=False, timeout=60)
    assert shown.returncode == 1, shown.stdout
    assert "broken" in shown.stdout
    assert ordinary("triage").returncode == 0
    assert "1 completed" in ordinary("plan", grid, "--no-cost").stdout
    trained = ordinary("run", grid)
    assert trained.returncode == 1
    assert "2 completed" in trained.stdout, trained.stderr
    assert f"broken {private}" in trained.stdout
