"""A profile's setup that fails ends the job, and its runs say why; one that does not is no trap."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from toy import runs, states, submit

GRID = """
task: toy
recipe: {epochs: 1}
product: {mechanism: ["1111", "0010"]}
"""


@pytest.fixture
def job(fake_slurm, toy, tmp_path, monkeypatch):
    """Submit the grid in one job with some setup, execute it, and return its exit code."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    grid, profiles = toy(GRID), tmp_path / "study/clusters.yaml"
    profiles.parent.mkdir()

    def execute(setup, *options):
        profiles.write_text(f"mine: {{setup: {json.dumps(setup)}}}\n")
        submit(grid, "--cluster", "mine", "--pack", "2", *options)
        return fake_slurm.run_task(fake_slurm.jobs[-1]["id"], 0).returncode

    return execute


@pytest.mark.parametrize(
    ("setup", "code", "told"),
    [
        (["module load nothing", "export A=b"], 127,
         "at 'module load nothing': .*module: command not found"),
        (["module() { echo no such module >&2; return 3; }", "module load cuda"], 3,
         "at 'module load cuda': no such module"),
        (["if true; then", "  cd /nowhere", "fi"], 1, "at 'cd /nowhere': .*No such file"),
        (["[ -d /nowhere ] || exit 5"], 5, ""),
        (["set -eu", "echo $UNSET"], 1, "UNSET: unbound variable"),
        (["echo 'no end"], 2, "unexpected EOF"),
    ],
)  # fmt: skip
def test_a_line_that_fails_ends_the_job_before_any_training(job, setup, code, told):
    assert job(setup) == code
    assert states() == ["failed", "failed"]
    for run in runs():
        assert run.metrics == []
        ending = run.newest.exit
        assert ending["code"] == code
        assert re.search(
            f"^the profile's setup ended with exit code {code}.*{told}", ending["error"]
        ), ending["error"]


def test_what_fails_within_a_line_that_succeeds_fails_nothing(job, tmp_path):
    """As in the functions and files that module, conda and virtual environments are made of."""
    sourced = tmp_path / "activate"
    sourced.write_text("false\n[ -d /nowhere ] && cd /nowhere\ntrue\n")
    setup = [
        "conda() { false; ls /nowhere; return 0; }",
        "conda activate study",
        f"source {sourced}",
        "[ -d /nowhere ] && cd /nowhere",
        "ls /nowhere || true",
        "trap 'touch mine' EXIT",
    ]
    assert job(setup) == 0
    assert states() == ["completed", "completed"]
    assert Path("mine").exists()


def test_a_signal_during_the_setup_is_left_to_slurm(job):
    assert job(["kill $$; sleep 5"]) == -15
    assert [run.newest.exit for run in runs()] == [None, None]


def test_a_job_that_asked_for_gpus_and_got_none_fails_and_names_node_and_job(job):
    assert job(["export CUDA_VISIBLE_DEVICES="], "-o", "gpus=a:1") == 1
    assert states() == ["failed", "failed"]
    assert {run.newest.exit["error"] for run in runs()} == {
        f"job {runs()[0].newest.start['job']} asked for GPUs (a:1 a node) and finds none on gpu1: "
        "CUDA_VISIBLE_DEVICES is ''"
    }
