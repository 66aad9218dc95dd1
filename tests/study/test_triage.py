"""`study triage`: one mistake is one group, whatever it names; two mistakes are two."""

import json
import sysconfig

import pytest

from study.status.triage import normalised

from .conftest import study
from .made import TOKEN, ended, planned, submitted

LIBRARY = sysconfig.get_paths()["purelib"]


def trace(line, message, function="train", file="/home/me/plugins/job.py"):
    return (
        "Traceback (most recent call last):\n"
        f'  File "/home/me/study/worker/main.py", line {line}, in _attempt\n'
        "    module.train(job)\n"
        f'  File "{file}", line {line + 1}, in {function}\n'
        "    step()\n"
        f'  File "{LIBRARY}/torch/nn/module.py", line {line * 3}, in forward\n'
        "    return self._call(x)\n"
        "    ^^^^^^^^^^^^^^^^^^^^\n"
        f"{message}\n"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("KeyError: <Tensor at 0x7f3a10>", "KeyError: <Tensor at ADDRESS>"),
        ("CUDA out of memory. Tried 2.50 GiB", "CUDA out of memory. Tried N GiB"),
        ("OSError: /scratch/u1/runs/a.b/model.pth: disk full", "OSError: model.pth: disk full"),
        ("detection-trees-0010+deformable-conv4.conv5-s0-1f0c1f0c1f0c1f0c: torn", "RUN: torn"),
        ("loss is 1.5e-07 at step 12", "loss is N at step N"),
        ("mechanism of and/or kind", "mechanism of or kind"),
        ("[Errno 5] Input/output error: '/data/a/b.zip'", "[Errno N] Input/output error: 'b.zip'"),
    ],
)
def test_what_differs_from_run_to_run_is_taken_out(text, expected):
    assert normalised(text) == expected


def test_runs_are_grouped_by_place_and_message_and_the_largest_is_first(toy, tmp_path):
    root = tmp_path / "runs"
    for seed in range(3):
        error = f"ValueError: loss is {seed}.5 at 0x7f{seed}\n  in several lines"
        ended(planned(root, seed=seed), "failed", error, trace(10 + seed, error))
    other = "ValueError: loss is 1 at 0x7f"
    ended(planned(root, seed=3), "failed", other, trace(10, other, "evaluate"))
    ended(planned(root, seed=4), "oom", "OutOfMemoryError: 3 GiB", trace(9, "OutOfMemoryError: 3"))
    ended(planned(root, seed=5), "preempted")
    groups = json.loads(study("triage", "--json").stdout)
    assert [(group["count"], group["state"]) for group in groups] == [
        (3, "failed"),
        (1, "failed"),
        (1, "oom"),
    ]
    assert groups[0]["where"] == "main.py:_attempt > job.py:train"
    assert groups[0]["error"] == "ValueError: loss is N at ADDRESS"
    assert groups[1]["where"] == "main.py:_attempt > job.py:evaluate"
    shown = study("triage", toy("task: toy\nproduct: {mechanism: [1111]}\nseeds: [0, 1, 2]\n"))
    assert f"study logs --err {groups[0]['example']}" in shown.stdout
    assert "grid.yaml --state failed" in shown.stdout
    assert "oom" not in shown.stdout
    assert "nothing failed" in study("triage", "--state", "lost").stdout
    assert "no failure" in study("triage", "--state", "completed").stderr


def test_of_a_chain_of_exceptions_the_one_that_ended_the_run_counts(toy, tmp_path):
    first = trace(1, "KeyError: 'a'", "look_up")
    middle = "\nThe above exception was the direct cause of the following exception:\n\n"
    whole = first + middle + trace(2, "plugins.errors.BadData: no entry 7", "read")
    ended(planned(tmp_path / "runs"), "failed", "BadData: no entry 7", whole)
    (group,) = json.loads(study("triage", "--json").stdout)
    assert group["where"].endswith("job.py:read")
    assert group["error"] == "plugins.errors.BadData: no entry N"


def test_nodes_make_no_difference_and_are_counted(toy, tmp_path):
    for seed, node in enumerate(["gpu1", "gpu1", "gpu12"]):
        attempt = submitted(planned(tmp_path / "runs", seed=seed), index=seed)
        told = {"id": f"7_{seed}", "node": node, "began": 1.0, "ended": 2.0}
        why = f"Slurm says FAILED of job 7_{seed} on {node}; it left no record"
        attempt.write_off("killed", why, job=told)
    (group,) = json.loads(study("triage", "--json").stdout)
    assert group["error"] == "Slurm says FAILED of job N_N; it left no record"
    assert group["nodes"] == {"gpu1": 2, "gpu12": 1}
    assert "gpu1 2, gpu12 1" in study("triage").stdout


def test_a_worker_without_a_record_is_known_by_what_it_wrote(toy, tmp_path):
    attempt = planned(tmp_path / "runs", seed=0).claim()
    attempt.submit("local", 1)
    (attempt.path / "stderr").write_text("warning\n" + trace(5, "ImportError: no module mmcv._ext"))
    attempt.end("failed", 1, 0.0, "the worker ended with exit code 1 and left no record")
    job = submitted(planned(tmp_path / "runs", seed=1), index=4)
    batch = tmp_path / "runs" / ".slurm" / TOKEN
    batch.mkdir(parents=True)
    (batch / "7_4_0_log.err").write_text("srun: error: no disk 7\n")
    job.write_off("failed", "Slurm says FAILED of job 7_4; it left no record")
    groups = json.loads(study("triage", "--json").stdout)
    assert {group["error"] for group in groups} == {
        "ImportError: no module mmcv._ext",
        "srun: error: no disk N",
    }
