"""`study submit` on a real cluster: each run is executed once at a time, and none is lost."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest
from toy import runs, states, study, submit

from study.runs.folder import RunFolder, iter_runs

SHORT = """
task: toy
recipe: {epochs: 2}
product: {mechanism: ["1111", "0010"]}
seeds: [0, 1]
"""
LONG = """
task: toy
recipe: {epochs: 40, seconds: 0.5}
product: {mechanism: ["1111"]}
"""


def the_run():
    (folder,) = runs()
    return folder


def job_of(folder):
    return folder.newest.start["job"]


def begun(folder: RunFolder, n: int = 1):
    """Whether attempt `n` has trained a step."""
    path = folder.path / "attempts" / str(n) / "start.json"
    return (
        path.exists()
        and (folder.path / "checkpoints" / "count").exists()
        and bool(
            [line for line in folder.metrics if line["time"] > json.loads(path.read_text())["time"]]
        )
    )


def causes(folder):
    """Why each attempt ended, once the last one has said so: it writes its result before that."""
    deadline = time.monotonic() + 10
    while folder.newest.exit is None and time.monotonic() < deadline:
        time.sleep(0.05)
    return [attempt.ending.get("cause") for attempt in folder.attempts]


def test_a_grid_is_queued_once_and_completed(slurm, toy):
    grid = toy(SHORT)
    assert "4 runs" in submit(grid)
    assert "nothing to submit" in submit(grid)
    slurm.wait_until(lambda: states() == ["completed"] * 4, 60)
    assert "nothing to submit: 4 completed" in submit(grid)
    assert [causes(folder) for folder in runs()] == [["completed"]] * 4
    assert {folder.newest.submission["launcher"] for folder in runs()} == {"slurm"}


def test_a_grid_is_tried_small_before_it_is_submitted(slurm, toy, tmp_path):
    told = submit(toy(LONG), "--smoke", "--mechanism", "1111", "--seed", "0")
    (where,) = (tmp_path / "smoke").iterdir()
    assert f"in {where}; study status --runs {where} shows" in told
    (folder,) = iter_runs(where)
    slurm.wait_until(lambda: folder.result, 60)
    assert folder.run["grid"] == "smoke/grid"
    assert folder.run["science"]["recipe"]["epochs"] == 2
    assert runs() == []


def test_a_dry_run_prints_what_would_be_submitted_and_writes_nothing(slurm, toy, tmp_path):
    text = submit(toy(SHORT), "--dry-run", "-o", "time=2:30:00", "-o", "gpus=1")
    for line in ("#SBATCH --array=0-3%4", "#SBATCH --time=150", "#SBATCH --gpus-per-node=1"):
        assert line in text
    assert not (tmp_path / "runs").exists()
    assert not slurm.run("squeue", "-h")


def test_what_the_cluster_would_refuse_is_refused_before_anything_is_claimed(slurm, toy):
    grid = toy(SHORT)
    for option, word in (("partition=nowhere", "partition"), ("account=nobody", "account")):
        done = study("submit", grid, "-o", option)
        assert done.returncode == 2
        assert word in done.stderr.lower()
    assert states() == ["planned"] * 4
    assert not slurm.run("squeue", "-h")


def test_a_lost_node_costs_an_attempt_and_nothing_else(slurm, toy):
    submit(toy(LONG), "-o", "partition=normal")
    folder = the_run()
    slurm.wait_until(lambda: begun(folder), 30)
    job = job_of(folder)
    node = slurm.job(job)["NodeList"]
    slurm.fail_node(node)
    slurm.wait_until(lambda: slurm.job(job)["JobState"] == "PENDING")
    assert states() == ["queued"]
    slurm.start_again(job)
    slurm.wait_until(lambda: states() == ["completed"], 60)
    assert len(folder.attempts) == 2
    assert folder.attempts[0].ending["scheduler"] == "NODE_FAIL"
    assert [line["step"] for line in folder.metrics if line["split"] == "val"] == [*range(1, 41)]


def test_a_preempted_job_goes_on_where_it_was(slurm, toy):
    submit(toy(LONG), "-o", "partition=normal")
    folder = the_run()
    slurm.wait_until(lambda: begun(folder), 30)
    job = job_of(folder)
    node = slurm.job(job)["NodeList"]
    slurm.run(
        "sbatch", "-p", "urgent", "-w", node, "--exclusive", "-o", "/dev/null", "--wrap", "sleep 1"
    )
    slurm.start_again(job)
    slurm.wait_until(lambda: states() == ["completed"], 60)
    first = folder.attempts[0].ending
    assert (first["cause"], first["scheduler"]) == ("preempted", "PREEMPTED")
    assert folder.result["attempts"] == 2


def test_at_the_time_limit_a_run_saves_and_goes_back_into_the_queue(slurm, toy):
    submit(toy(LONG.replace("40", "100")), "-o", "time=1", "-o", "signal_seconds=20")
    folder = the_run()
    slurm.wait_until(lambda: causes(folder) == ["timeout"], 90)
    saved = int((folder.path / "checkpoints" / "count").read_text())
    assert saved > 0
    job = job_of(folder)
    slurm.wait_until(lambda: slurm.job(job)["JobState"] == "PENDING")
    assert states() == ["queued"]
    slurm.run("scontrol", "update", f"JobId={job}", "TimeLimit=10")
    slurm.start_again(job)
    slurm.wait_until(lambda: states() == ["completed"], 90)
    assert causes(folder) == ["timeout", "completed"]
    steps = [line["step"] for line in folder.metrics if line["split"] == "val"]
    assert steps == [*range(1, 101)]


def test_what_somebody_cancels_stays_cancelled_until_it_is_retried(slurm, toy):
    grid = toy(LONG)
    submit(grid)
    folder = the_run()
    slurm.wait_until(lambda: begun(folder), 30)
    submit(verb="cancel")
    slurm.wait_until(lambda: states() == ["killed"], 30)
    assert "cancelled by" in folder.newest.ending["error"]
    assert "nothing to submit" in submit(grid, code=1)
    submit("--state", "killed", verb="retry")
    slurm.wait_until(lambda: begun(folder, 2), 30)
    slurm.run("scancel", job_of(folder))
    slurm.wait_until(lambda: states()[0] not in ("running", "queued"), 30)
    assert "nothing to submit" in submit(grid, code=1), folder.newest.ending


def test_a_queued_run_is_cancelled_for_good(slurm, toy):
    submit(toy(SHORT), "-o", "sbatch.begin=now+1hour")
    assert states() == ["queued"] * 4
    submit("--mechanism", "0010", verb="cancel")
    assert states() == ["killed", "killed", "queued", "queued"]


@pytest.mark.parametrize("what", ["worker", "step"])
def test_a_kill_is_seen_and_the_run_submitted_again(slurm, toy, what):
    grid = toy(LONG.replace("40", "12"))
    submit(grid)
    folder = the_run()
    slurm.wait_until(lambda: begun(folder), 30)
    if what == "step":
        slurm.kill_step(job_of(folder))
    else:
        subprocess.run(["pkill", "-KILL", "-f", f"study.worker {folder.path}"], check=True)
    slurm.wait_until(lambda: states() == ["killed"], 30)
    assert "1 runs" in submit(grid)
    slurm.wait_until(lambda: states() == ["completed"], 60)
    assert causes(folder) == ["killed", "completed"]


def test_a_run_that_lacked_memory_gets_more(slurm, toy):
    grid = toy(LONG.replace("40, seconds: 0.5", "2, seconds: 3, megabytes: 300"))
    enough = ["-o", "mem_gb=0.3", "-o", "max_mem_gb=0.6"]  # 450 MB the second time
    submit(grid, *enough)
    slurm.wait_until(lambda: states() == ["oom"], 60)
    submit(grid, *enough)
    slurm.wait_until(lambda: states() == ["completed"], 60)
    first, second = the_run().attempts
    assert first.ending["scheduler"] == "OUT_OF_MEMORY"
    assert second.ending["cause"] == "completed"


def test_more_time_than_the_partition_gives_is_refused(slurm, toy):
    done = study("submit", toy(SHORT), "-o", "partition=short", "-o", "time=10")
    assert done.returncode == 2
    assert "partition short has a time limit of 5:00" in done.stderr


def test_an_error_of_the_training_is_final_until_it_is_retried(slurm, toy):
    grid = toy(SHORT.replace("epochs: 2", 'epochs: 2, failing: "0010"'))
    submit(grid)
    slurm.wait_until(lambda: states() == ["completed", "completed", "failed", "failed"], 60)
    assert "nothing to submit" in submit(grid, code=1)
    assert "2 runs" in submit("--state", "failed", verb="retry")


def test_an_array_is_cut_at_the_clusters_limit_and_parallel_jobs_are_counted_over_all(slurm, toy):
    grid = toy(SHORT.replace("[0, 1]", str([*range(75)])))
    text = submit(grid, "--dry-run", "--max-parallel", "5")
    assert [line for line in text.splitlines() if "--array" in line] == [
        "#SBATCH --array=0-100%3",
        "#SBATCH --array=0-48%2",
    ]


def test_the_queue_takes_what_fits_and_the_rest_later(slurm, toy):
    grid = toy(SHORT.replace("[0, 1]", "[0, 1, 2, 3]"))
    assert "3 runs are left" in submit(grid, "-o", "account=small", code=3)
    assert states().count("planned") == 3
    slurm.wait_until(lambda: states().count("completed") == 5, 60)
    slurm.wait_until(lambda: not slurm.run("squeue", "-h"))
    submit(grid, "-o", "account=small")
    slurm.wait_until(lambda: states() == ["completed"] * 8, 60)


def test_two_people_at_once_submit_each_run_once(slurm, toy):
    grid = toy(SHORT.replace("[0, 1]", str([*range(20)])))
    command = [sys.executable, "-m", "study", "submit", str(grid)]
    both = [subprocess.Popen(command, stdout=-1, stderr=-1) for _ in range(2)]
    for process in both:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0, out + errors
    slurm.wait_until(lambda: states() == ["completed"] * 40, 120)
    assert [causes(folder) for folder in runs()] == [["completed"]] * 40


def test_what_is_edited_after_the_submission_is_not_what_runs(slurm, toy, tmp_path):
    submit(toy(SHORT), "-o", "sbatch.begin=now+5seconds")
    (tmp_path / "site" / "toytask" / "train.py").write_text("raise SyntaxError\n")
    slurm.wait_until(lambda: states() == ["completed"] * 4, 60)


def test_packed_runs_share_a_job_and_one_can_be_cancelled_alone(slurm, toy):
    submit(toy(LONG.replace('["1111"]', '["1111", "0010", "1000"]')), "--pack", "3")
    slurm.wait_until(lambda: all(begun(folder) for folder in runs()), 30)
    assert len({job_of(folder) for folder in runs()}) == 1
    submit("--mechanism", "1000", verb="cancel")
    slurm.wait_until(lambda: states() == ["killed", "running", "running"], 30)


def test_a_controller_that_is_away_during_the_submission_costs_nothing(slurm, toy):
    grid = toy(SHORT)
    slurm.stop_controller()
    try:
        done = study("submit", grid)
        assert done.returncode == 2
        assert "does not answer" in done.stderr
    finally:
        slurm.start_controller()
    slurm.wait_until(lambda: set(slurm.run("sinfo", "-h", "-N", "-o", "%T").split()) == {"idle"})
    submit(grid)
    slurm.wait_until(lambda: states() == ["completed"] * 4, 60)
    assert [causes(folder) for folder in runs()] == [["completed"]] * 4


def test_without_accounting_all_goes_on(slurm, toy):
    grid = toy(SHORT)
    slurm.stop_accounting()
    try:
        submit(grid)
        slurm.wait_until(lambda: states() == ["completed"] * 4, 60)
    finally:
        slurm.start_accounting()


@pytest.mark.data
@pytest.mark.train
def test_two_processes_of_one_job_train_one_run(cluster, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    grid = tmp_path / "grid.yaml"
    grid.write_text(
        "task: segmentation\n"
        "recipe: {data: landcover, epochs: 1, crop: [48, 48], batch_size: 16}\n"
        "product: {mechanism: ['0010']}\n"
    )
    submit(grid, "-o", "tasks=2", "-o", "mem_gb=4")
    cluster.wait_until(lambda: states()[0] not in ("queued", "running"), 240)
    folder = the_run()
    assert states() == ["completed"], folder.newest.exit
    steps = [line["step"] for line in folder.metrics if line["split"] == "train"]
    assert steps == sorted(set(steps))
    assert (folder.newest.path / "stderr.1").exists()
    assert len((folder.path / "metrics.jsonl").read_text().splitlines()) == len(folder.metrics)
