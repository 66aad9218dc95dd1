"""`study probe --cluster`: one job probes all; then it is known what does not fit there."""

from __future__ import annotations

import json

import pytest
from toy import runs, study, submit

GRID = """
task: toy
recipe: {epochs: 2, unfit: "1111", seconds: 0.01}
product: {mechanism: [none, "1111", "0010"]}
seeds: [0, 1]
"""


@pytest.fixture
def slurm(cluster, toy, tmp_path, monkeypatch):
    """The cluster, empty, with a profile of two nodes and records that arrive at once."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    (tmp_path / "config" / "study").mkdir(parents=True)
    profile = "two: {partition: normal, nodes: 2, time: 30}\n"
    (tmp_path / "config" / "study" / "clusters.yaml").write_text(profile)
    yield cluster
    cluster.clear()


def test_one_job_probes_what_is_missing_and_submit_knows_what_does_not_fit(slurm, toy, tmp_path):
    grid, where = toy(GRID), tmp_path / "runs" / ".probes"
    told = submit(grid, "--cluster", "two", "--steps", "3", verb="probe", code=3)
    assert f"study status --runs {where}/jobs" in told
    (job,) = (line.split()[0] for line in told.splitlines() if "is to probe some" in line)
    # While it waits or runs, it is not handed in again.
    assert job in study("probe", grid, "--cluster", "two").stdout or len(_found(where)) == 3
    slurm.wait_until(lambda: study("status", "--runs", where / "jobs").returncode == 0, 90)
    assert len([path for path in (where / "jobs").iterdir() if path.name[0] != "."]) == 1
    found = _found(where)
    outcomes = {each["science"]["mechanism"]: each["outcome"] for each in found}
    assert outcomes == {"none": "measured", "1111": "does not fit", "0010": "measured"}
    assert {(each["cluster"], each["processes"]) for each in found} == {("two", 2)}
    # A step of one of two processes: half of the toy's ten milliseconds.
    assert [each["probed"]["milliseconds"] for each in found if "probed" in each] == [[5] * 3] * 2
    assert "does not fit: CUDA out of memory" in submit(grid, "--cluster", "two", verb="probe")
    done = study("submit", grid, "--cluster", "two")
    assert done.returncode == 2
    assert "1 configuration does not fit into the memory of" in done.stderr
    assert runs() == []
    slurm.wait_until(lambda: not slurm.run("squeue", "-h"), 60)
    assert "warning" in submit(grid, "--cluster", "slurm", "-o", "sbatch.begin=now+1hour")


def _found(where):
    return [json.loads(path.read_text()) for path in sorted(where.glob("*.json"))]
