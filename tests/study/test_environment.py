"""What a shell still has from another job does not reach the processes that calculate."""

import os

import pytest

from study.environment import child_environment
from study.launch.local.slots import Slots
from study.runs.folder import iter_runs
from study.runs.provenance import cores, threads
from study.worker.child import ask

from .conftest import study

GRID = "task: toy\nproduct: {mechanism: [none]}\n"
GROUP = {
    **{"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"},
    **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "none"},
}
HOOK = {"GIT_DIR": "/nowhere", "GIT_WORK_TREE": "/nowhere", "GIT_INDEX_FILE": "/nowhere"}


@pytest.fixture
def left(monkeypatch):
    """A shell with what torchrun and a hook of git set."""
    for name, value in (GROUP | HOOK | {"TORCH_HOME": "/cache"}).items():
        monkeypatch.setenv(name, value)


def test_a_child_has_neither_a_group_nor_a_hook(left):
    found = ask("os:environ.copy", {})
    assert not {*found} & {*GROUP, *HOOK}
    assert found["TORCH_HOME"] == "/cache"
    assert not {*Slots(1, []).environment} & {*GROUP, *HOOK}
    assert child_environment({"RANK": "0"})["RANK"] == "0"


def test_a_run_is_trained_alone_and_recorded(left, toy, tmp_path):
    done = study("run", toy(GRID))
    assert done.returncode == 0, done.stdout
    (folder,) = iter_runs(tmp_path / "runs")
    assert folder.result["metrics"].keys() == {"score"}
    assert "WORLD_SIZE" not in folder.provenance["environment"]


def test_threads_of_the_shell_give_way_to_those_of_the_slot(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    monkeypatch.setenv("MKL_NUM_THREADS", "78")
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "1")
    assert study("run", toy(GRID)).returncode == 0
    (folder,) = iter_runs(tmp_path / "runs")
    recorded = folder.provenance["environment"]
    assert recorded["OMP_NUM_THREADS"] == recorded["MKL_NUM_THREADS"] == str(cores())
    assert recorded["CUDA_LAUNCH_BLOCKING"] == "1"
    assert folder.provenance["threads"] == cores()


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("4,2", 4), (" 2 ", 2), ("", None), ("many", None), ("0", None)]
)
def test_the_number_of_threads_is_read_as_openmp_reads_it(monkeypatch, text, number):
    monkeypatch.setenv("OMP_NUM_THREADS", text)
    assert threads() == (number or len(os.sched_getaffinity(0)))
