"""What `study submit` and `study retry` ask the cluster for where a node is bad."""

from __future__ import annotations

import pytest
from toy import runs, states, submit

GRID = """
task: toy
recipe: {epochs: 1}
product: {mechanism: ["1111", "0010"]}
seeds: [0, 1, 2]
"""


@pytest.fixture
def slurm(fake_slurm, toy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    return fake_slurm


@pytest.fixture
def grid(slurm, toy):
    """Three runs that a bad node ended, and three that a good one has completed."""
    path = toy(GRID)
    submit(path)
    job = slurm.jobs[0]["id"]
    for index in range(3):
        slurm.start(job, index, "gpu2")
        slurm.finish(job, index, "FAILED", "1:0")
        slurm.run_task(job, index + 3)
    assert states() == ["completed"] * 3 + ["killed"] * 3
    return path


@pytest.mark.parametrize("verb", ["submit", "retry"])
def test_a_bad_node_is_excluded_beside_those_of_the_profile(slurm, grid, verb):
    told = submit(grid, "-o", "exclude=gpu[7-8]", verb=verb)
    assert "leaves out gpu2: 3 of 3 attempts ended there within " in told
    assert "; 3 elsewhere went well (-o avoid=false takes it nevertheless)" in told
    assert slurm.jobs[1]["options"]["exclude"] == "gpu[7-8],gpu2"
    assert {folder.attempts[0].node for folder in runs()} == {"gpu1", "gpu2"}


def test_who_wants_it_nevertheless_gets_it(slurm, grid):
    assert "leaves out" not in submit(grid, "-o", "avoid=false")
    assert "exclude" not in slurm.jobs[1]["options"]


def test_what_leaves_no_node_at_all_is_not_left_out(slurm, grid):
    program = slurm.bin / "sbatch"
    refusal = "allocation failure: Requested node configuration is not available"
    words = program.read_text().splitlines()
    check = f'grep -qs -e --exclude -- "$@" && {{ echo "{refusal}" >&2; exit 1; }}'
    program.write_text("\n".join([words[0], check, *words[1:]]) + "\n")
    told = submit(grid)
    assert f"cannot leave out gpu2: the cluster refuses such a job: {refusal}" in told
    assert states() == ["completed"] * 3 + ["queued"] * 3
