"""A real Slurm for the tests of this folder, and a fake one for what a real one does too seldom."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# The tests share modules; pytest's importlib mode puts no test folder on the path.
sys.path.insert(0, str(Path(__file__).parent))

from cluster import Cluster, why_not
from fake.cluster import FakeSlurm


@pytest.fixture(scope="session")
def cluster():
    """The real cluster, one for the session; ``STUDY_REQUIRE_SLURM=1`` forbids to skip it."""
    if reason := why_not():
        if os.environ.get("STUDY_REQUIRE_SLURM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with Cluster() as running:
        yield running


@pytest.fixture(autouse=True)
def _clients_find_the_cluster(request, monkeypatch):
    """Let Slurm's commands find the cluster, whoever calls them during a test that uses it."""
    if "cluster" not in request.fixturenames:
        yield
        return
    cluster = request.getfixturevalue("cluster")
    for name in set(os.environ) - set(cluster.environment):
        monkeypatch.delenv(name)
    for name in ("PATH", "SLURM_CONF"):
        monkeypatch.setenv(name, cluster.environment[name])
    yield
    cluster.mend()


@pytest.fixture
def slurm(cluster, toy, tmp_path, monkeypatch):
    """The cluster, empty, with no profile and records that arrive at once."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    yield cluster
    cluster.clear()
    for node in cluster.run("sinfo", "-h", "-N", "-p", "normal", "-t", "down", "-o", "%N").split():
        cluster.resume_node(node)


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch):
    """A Slurm that does what the test says, first on the path."""
    fake = FakeSlurm(tmp_path / "fake-slurm")
    for name in [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("FAKE_SLURM_STATE", str(fake.path))
    monkeypatch.setenv("PATH", f"{fake.bin}{os.pathsep}{os.environ['PATH']}")
    return fake
