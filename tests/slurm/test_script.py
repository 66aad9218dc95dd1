"""What a profile asks for is what Slurm understands, and what the processes of a job are told."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from toy import runs, study

from study.launch.slurm.cells import Position
from study.launch.slurm.profile import Profile
from study.launch.slurm.script import parse_job_id, script


@pytest.fixture
def position(monkeypatch):
    """Set the variables of a step of an array task; return where it stands."""

    def stand(rank, world, nodes, names):
        values = {
            "JOB_ID": 20007,
            "ARRAY_JOB_ID": 20001,
            "ARRAY_TASK_ID": 3,
            "RESTART_COUNT": 2,
            "PROCID": rank,
            "LOCALID": rank % 2,
            "NTASKS": world,
            "JOB_NUM_NODES": nodes,
            "JOB_NODELIST": names,
        }
        for name, value in values.items():
            monkeypatch.setenv(f"SLURM_{name}", str(value))
        return Position.read()

    return stand


def test_slurm_understands_the_script_as_it_is_meant(cluster, tmp_path):
    profile = Profile(
        partition="normal",
        nodes=2,
        gpus=2,
        cpus=1,
        mem_gb=1,
        time="1:30:00",
        exclude="gpu4",
        sbatch={"begin": "now+1hour", "comment": "it's a test", "exclusive": False},
    )
    folder = tmp_path / "a folder"
    folder.mkdir()
    path = folder / "submission.sh"
    path.write_text(script("study-abc", folder, 5, 3, 1.5, profile, tmp_path / "code"))
    job = parse_job_id(cluster.run("sbatch", path))
    told = cluster.job(job)
    expected = {
        "JobName": "study-abc",
        "ArrayTaskId": "0-4%3",
        "Partition": "normal",
        "NumNodes": "2-2",
        "NumTasks": "4",
        "CPUs/Task": "1",
        "MinMemoryNode": "1.50G",
        "TimeLimit": "01:30:00",
        "ExcNodeList": "gpu4",
        "Requeue": "1",
        "TresPerNode": "gres:gpu:2",
    }
    assert {key: told.get(key) for key in expected} == expected
    details = cluster.run("scontrol", "show", "job", job)
    assert "Comment=it's a test" in details
    assert f"StdErr={folder}/{job}_4294967294_0_log.err" in details
    cluster.run("scancel", job)


def test_the_script_runs_the_copied_code_after_the_users_own_lines(tmp_path, monkeypatch):
    """With a bash in which srun says what it was called with."""
    monkeypatch.setenv("PYTHONPATH", "/somebody's")
    monkeypatch.setenv("STUDY_DATA", "data")
    monkeypatch.setenv("STUDY_ITEMS", "0")
    monkeypatch.delenv("STUDY_RUNS", raising=False)
    srun = tmp_path / "srun"
    shown = '"$MINE" "$PYTHONPATH" "$STUDY_DATA" "$STUDY_ITEMS" "$@"'
    srun.write_text(f'#!/bin/sh\nprintf "%s\\n" {shown}\n')
    srun.chmod(0o755)
    profile = Profile(tasks=2, cpus=3, setup=["export MINE='a b'"])
    text = script("study-abc", tmp_path / "a b", 1, None, None, profile, Path("/snap shot"))
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", text], env=environment, capture_output=True, text=True, check=True
    )
    mine, path, data, items, *words = done.stdout.splitlines()
    assert (mine, path, data) == ("a b", "/snap shot:/somebody's", str(Path.cwd() / "data"))
    assert items == "0"
    assert {"--export=ALL", "--cpus-per-task=3", "--kill-on-bad-exit=1"} < {*words}
    assert f"--error={tmp_path / 'a b'}/%A_%a_%t_log.err" in words
    task = [sys.executable, "-P", "-u", "-m", "study.launch.slurm.task", str(tmp_path / "a b")]
    assert words[-6:] == task, shlex.join(words)


def test_the_answer_of_sbatch_names_the_job_or_does_not():
    assert parse_job_id("Submitted batch job 123\n") == "123"
    assert parse_job_id("Submitted batch job 123 on cluster other\n") == "123"
    assert parse_job_id("Submitted, thank you\n") is None


def test_processes_on_several_nodes_meet_on_the_first(cluster, position):
    here = position(3, 4, 2, "gpu[2-3]")
    assert (here.job, here.index, here.restart) == ("20001_3", 3, 2)
    expected = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "gpu2"}
    assert here.variables.items() >= expected.items()
    other = position(0, 4, 2, "gpu[2-3]")
    assert other.variables["MASTER_ADDR"] == "gpu2"
    assert other.variables["MASTER_PORT"] == here.variables["MASTER_PORT"]


def test_processes_of_one_node_need_no_name_of_it_and_one_alone_no_place(position):
    assert position(1, 2, 1, "gpu1").variables["MASTER_ADDR"] == "127.0.0.1"
    assert "RANK" not in position(0, 1, 1, "gpu1").variables


def test_without_weights_nothing_is_queued(fake_slurm, toy, tmp_path, monkeypatch):
    """The scripts are shown all the same, and name the folder where jobs look for the file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    url = "http://127.0.0.1:9/net-0123abcd.pth"
    grid = toy(f"task: toy\nrecipe: {{pretrained: '{url}'}}\nproduct: {{mechanism: ['1111']}}\n")
    shown = study("submit", grid, "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert f"export TORCH_HOME={tmp_path}/torch\n" in shown.stdout
    cache = tmp_path / "torch/hub/checkpoints"
    assert f"weights {url}: net-0123abcd.pth is not in {cache}. Where there" in shown.stderr
    done = study("submit", grid)
    assert done.returncode == 2
    assert f"{url} cannot be downloaded into {cache}: Connection refused" in done.stderr
    assert (fake_slurm.jobs, runs()) == ([], [])


def test_words_that_yaml_takes_for_numbers_reach_slurm_as_they_are_written(
    cluster, toy, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "study").mkdir()
    (tmp_path / "study/clusters.yaml").write_text(
        "mine:\n"
        "  constraint: 680841e1\n"
        "  sbatch: {comment: 1.20, wckey: 0x1F, exclusive: false, nice: on,"
        " begin: 2030-01-01}\n"
    )
    grid = toy("task: toy\nproduct: {mechanism: ['1111']}\n")
    script = study("submit", grid, "--cluster", "mine", "--dry-run").stdout
    lines = [line for line in script.splitlines() if line.startswith("#SBATCH")]
    wanted = ("begin=2030-01-01", "comment=1.20", "constraint=680841e1", "nice")
    assert {f"#SBATCH --{option}" for option in (*wanted, "wckey=0x1F")} < {*lines}
    assert not [line for line in lines if "exclusive" in line]
    path = tmp_path / "submission.sh"
    path.write_text(script.replace("#SBATCH --constraint=680841e1\n#SBATCH", "#SBATCH", 1))
    told = cluster.job(job := parse_job_id(cluster.run("sbatch", path)))
    cluster.run("scancel", job)
    assert (told["Comment"], told["Nice"]) == ("1.20", "100")
    assert told["StartTime"] == "2030-01-01T00:00:00"
