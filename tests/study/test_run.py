"""`study run` and the verbs that look, on a task that trains in milliseconds."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from study.runs.folder import iter_runs

from .conftest import study
from .made import planned

GRID = "task: toy\nproduct:\n  mechanism: [none, 1111, 0010]\nbaseline: none\n"


def folders(tmp_path):
    return list(iter_runs(tmp_path / "runs"))


def test_run_trains_what_is_missing_and_nothing_twice(toy, tmp_path):
    grid = toy(GRID)
    first = study("run", grid, "--slots", 2)
    assert first.returncode == 0, first.stderr
    assert "3 completed" in first.stdout
    before = {f.path: (f.path / "result.json").stat().st_mtime_ns for f in folders(tmp_path)}
    assert len(before) == 3
    again = study("run", grid)
    assert again.returncode == 0
    assert "nothing to do: 3 completed" in again.stdout
    assert {
        f.path: (f.path / "result.json").stat().st_mtime_ns for f in folders(tmp_path)
    } == before
    larger = study("run", toy(GRID + "seeds: [0, 1]\n"))
    assert "3 of 6 runs to train" in larger.stdout
    assert len(folders(tmp_path)) == 6


def test_a_detached_process_trains_what_the_filters_let_pass(toy, tmp_path):
    done = study("submit", toy(GRID), "--cluster", "local", "--mechanism", "1111", "--seed", 0)
    assert done.returncode == 0, done.stderr
    (log,) = (tmp_path / "runs" / ".local").iterdir()
    _wait_for(lambda: "1 completed" in log.read_text())
    assert [folder.run["science"]["mechanism"] for folder in folders(tmp_path)] == ["1111"]


def test_no_code_is_taken_from_the_folder_in_which_somebody_works(toy, tmp_path):
    """As on a cluster; what PYTHONPATH names is taken, the toy task for one."""
    grid = toy(GRID)
    (tmp_path / "psutil.py").write_text("raise RuntimeError('not this one')")
    done = study("run", grid, "--mechanism", "none")
    assert done.returncode == 0, done.stdout
    (folder,) = folders(tmp_path)
    assert folder.attempts[0].submission["warm"]
    assert study("submit", grid, "--cluster", "local", "--mechanism", "1111").returncode == 0
    (log,) = (tmp_path / "runs" / ".local").iterdir()
    _wait_for(lambda: "1 completed" in log.read_text())


def test_a_result_says_what_was_measured(toy, tmp_path):
    study("run", toy(GRID))
    folder = folders(tmp_path)[0]
    result, provenance = folder.result, folder.provenance
    assert result["metric"] == "score"
    assert result["metrics"] == {"score": folder.metrics[-1]["score"]}
    assert result["untrained"] == {"score": 0.0}
    assert result["loss"] == {"first": 1.0, "last": 1 / 3}
    assert result["seconds"] > 0
    assert result["peak_memory_bytes"] > 1e6
    assert result["cost"]["mechanism"]["macs"] == 20
    assert provenance["data"]["toy-data"]["card"].startswith("real toy numbers")
    assert folder.attempts[0].exit["cause"] == "completed"
    assert folder.attempts[0].submission["launcher"] == "local"


def test_no_variable_of_the_environment_but_the_named_ones_is_written(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
    study("run", toy(GRID))
    written = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert written
    assert not any(b"hush-hush" in path.read_bytes() for path in written)


def test_the_job_in_which_a_run_is_trained_is_recorded(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "20007")
    study("run", toy(GRID), "--mechanism", "1111", "--seed", 0)
    (folder,) = folders(tmp_path)
    assert folder.provenance["environment"]["SLURM_JOB_ID"] == "20007"


def test_one_failing_run_neither_stops_nor_hides_the_others(toy, tmp_path):
    done = study("run", toy(GRID + "recipe: {failing: 1111}\n"))
    assert done.returncode == 1
    assert "2 completed" in done.stdout
    assert "1 failed" in done.stdout
    assert "RuntimeError: as told" in done.stdout
    failed = next(f for f in folders(tmp_path) if f.state() == "failed")
    assert "RuntimeError: as told" in failed.attempts[0].exit["traceback"]
    assert failed.result is None
    logged = study("logs", "--err", failed.path.name)
    assert "RuntimeError: as told" in logged.stdout


def test_a_killed_worker_is_recorded_and_its_run_resumes(toy, tmp_path):
    slow = toy("task: toy\nproduct: {mechanism: [1111]}\nrecipe: {epochs: 8, seconds: 0.2}\n")
    process = _start(slow)
    folder = _wait_for(lambda: next((f for f in folders(tmp_path) if len(f.metrics) > 4), None))
    os.kill(folder.attempts[0].submission["pid"], signal.SIGKILL)
    assert process.wait(timeout=30) == 0
    killed, resumed = folder.attempts
    assert (killed.exit["cause"], killed.exit["code"]) == ("killed", -signal.SIGKILL)
    assert resumed.exit["cause"] == "completed"
    assert folder.result["attempts"] == 2
    assert [line["step"] for line in folder.metrics if line["split"] == "train"] == [*range(1, 9)]
    assert folder.result["seconds"] > killed.exit["seconds"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopping_keeps_what_is_finished_and_leaves_no_process(toy, tmp_path, number):
    text = "task: toy\nproduct: {mechanism: [none, 1111]}\nrecipe: {epochs: 40, seconds: 0.1}\n"
    grid = toy(text)
    process = _start(grid, "--slots", "2")
    _wait_for(lambda: len(folders(tmp_path)) == 2 and all(f.metrics for f in folders(tmp_path)))
    pids = [f.attempts[0].submission["pid"] for f in folders(tmp_path)]
    process.send_signal(number)
    assert process.wait(timeout=30) == 130
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert {f.state() for f in folders(tmp_path)} == {"preempted"}
    assert "the same command goes on" in process.stdout.read()


def test_two_at_once_share_the_work(toy, tmp_path):
    words = "[none, 1111, 0010, 0001, 1000, 0100]"
    grid = toy(f"task: toy\nproduct: {{mechanism: {words}}}\nrecipe: {{seconds: 0.1}}\n")
    both = [_start(grid), _start(grid)]
    for process in both:
        process.wait(timeout=60)
    _wait_for(lambda: all(f.state() == "completed" for f in folders(tmp_path)))
    assert len(folders(tmp_path)) == 6
    assert all(len(f.attempts) == 1 for f in folders(tmp_path))


def test_the_time_of_an_attempt_that_left_no_record_counts(toy, tmp_path):
    grid = toy(GRID)
    study("run", grid)
    folder = folders(tmp_path)[0]
    for name in ("result.json", "attempts/1/exit.json", "checkpoints/count"):
        (folder.path / name).unlink()
    submission = folder.path / "attempts/1/submission.json"
    record = json.loads(submission.read_text())
    submission.write_text(json.dumps(record | {"time": record["time"] - 1000}))
    assert study("run", grid).returncode == 0
    lost, last = folder.attempts
    assert lost.exit["seconds"] > 1000
    assert folder.result["seconds"] >= lost.exit["seconds"] + last.exit["seconds"] - 1


def test_a_run_that_another_host_has_begun_is_left_to_it(toy, tmp_path):
    grid = toy(GRID)
    study("run", grid)
    folder = folders(tmp_path)[0]
    for name in ("result.json", "attempts/1/exit.json"):
        (folder.path / name).unlink()
    submission = folder.path / "attempts/1/submission.json"
    record = json.loads(submission.read_text())
    submission.write_text(json.dumps(record | {"host": "another"}))
    again = study("run", grid)
    assert again.returncode == 1
    assert "nothing to do" in again.stdout
    assert "1 running" in again.stdout
    assert len(folder.attempts) == 1
    (folder.path / "attempts/1").rename(folder.path / "attempts/1.lost")  # as the docs say
    assert folder.state() == "planned"
    assert study("run", grid).returncode == 0


def test_an_edited_run_is_refused(toy, tmp_path):
    grid = toy(GRID)
    study("run", grid)
    path = folders(tmp_path)[0].path
    for name in ("result.json", "attempts/1/exit.json"):
        (path / name).unlink()
    record = json.loads((path / "run.json").read_text())
    record["science"]["recipe"]["epochs"] = 99
    (path / "run.json").write_text(json.dumps(record))
    again = study("run", grid)
    assert again.returncode == 2
    assert "recipe.epochs: 99 -> 3" in again.stderr
    assert "Traceback" not in again.stderr


@pytest.mark.parametrize(
    ("name", "content"), [("result.json", '{"sch'), ("run.json", '{"sch'), ("run.json", "{}")]
)
def test_a_torn_run_is_named_and_the_others_are_trained(toy, tmp_path, name, content):
    grid = toy(GRID)
    study("run", grid)
    torn, other, _ = folders(tmp_path)
    (torn.path / name).write_text(content)
    (other.path / "result.json").unlink()
    (other.path / "attempts/1/exit.json").unlink()
    again = study("run", grid)
    assert again.returncode == 1
    assert f"broken {torn.path.name}" in again.stdout
    assert "move the folder away" in again.stdout
    assert other.state() == "completed"
    assert "1 broken" in study("status", grid).stdout
    assert study("plan", grid, "--no-cost").returncode == 0


def test_of_many_torn_runs_the_rest_is_counted_with_the_way_to_see_it(toy, tmp_path):
    root = tmp_path / "elsewhere"
    grid = toy(f"task: toy\nproduct: {{mechanism: [1111]}}\nseeds: {[*range(22)]}\n")
    for seed in range(22):
        (planned(root, seed=seed).path / "run.json").write_text("")
    done = study("run", grid, "--runs", root)
    assert done.returncode == 1
    assert "nothing to do: 22 broken" in done.stdout
    assert f"and 2 more: study status --runs {root}\n" in done.stdout


@pytest.mark.parametrize(
    ("filters", "message"),
    [
        (["--mechanism", "none", "--mechanism", "1110"], "--mechanism 1110: none of the 3 runs has "
         "it; did you mean '1111'?"),
        (["--seed", "0", "--seed", "7"], "--seed 7: none of the 3 runs has it; valid: 0, 1"),
        (["--mechanism", "none", "--mechanism", "1111", "--seed", "1"],
         "--mechanism 1111: none of its runs has a seed that --seed names"),
        (["--mechanism", "1111", "--seed", "0", "--seed", "1"],
         "--seed 1: none of its runs has what --mechanism names"),
    ],
)  # fmt: skip
def test_a_filter_that_no_run_passes_is_named_beside_others_that_some_do(
    toy, tmp_path, filters, message
):
    grids = [
        toy("task: toy\nproduct: {mechanism: [none, 1111]}\n", "a.yaml"),
        toy("task: toy\nproduct: {mechanism: [none]}\nseeds: [0, 1]\n", "b.yaml"),
    ]
    done = study("run", *grids, *filters)
    assert (done.returncode, done.stderr) == (2, f"error: {message}\n")
    assert not (tmp_path / "runs").exists()


def test_a_run_by_hand_takes_an_attempt_and_refuses_a_second(toy, tmp_path):
    slow = toy("task: toy\nproduct: {mechanism: [1111]}\nrecipe: {epochs: 60, seconds: 0.1}\n")
    process = _start(slow)
    folder = _wait_for(lambda: next((f for f in folders(tmp_path) if f.metrics), None))
    by_hand = [sys.executable, "-m", "study.worker", str(folder.path)]
    refused = subprocess.run(by_hand, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "is running: nothing to do by hand" in refused.stderr
    assert "by hand" not in study("inspect", folder.path.name).stdout
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    shown = study("inspect", folder.path.name).stdout
    assert f"-P -m study.worker {folder.path}" in shown
    before = len(folder.metrics)
    worker = subprocess.Popen([*by_hand, "--device", "cpu"])
    _wait_for(lambda: len(folder.metrics) > before)
    assert folder.state() == "running"
    worker.send_signal(signal.SIGINT)
    assert worker.wait(timeout=30) == 143
    assert folder.state() == "preempted"
    assert folder.attempts[1].submission["launcher"] == "by hand"
    assert "a run by hand writes to its terminal" in study("logs", "--err", folder.path.name).stderr


def test_a_data_set_that_lost_a_file_is_refused(toy, tmp_path):
    (tmp_path / "data" / "toy-data" / "file").unlink()
    done = study("run", toy(GRID))
    assert done.returncode == 2
    assert "0 files of 0 bytes" in done.stderr
    assert "study data prepare toy-data" in done.stderr


def test_a_reader_that_leaves_does_not_stop_the_training(toy, tmp_path):
    grid = toy("task: toy\nproduct: {mechanism: [none, 1111]}\nrecipe: {seconds: 0.8}\n")
    command = [sys.executable, "-m", "study", "run", str(grid)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.readline()
    process.stdout.close()
    process.wait(timeout=60)
    assert b"Traceback" not in process.stderr.read()
    assert [f.state() for f in folders(tmp_path)] == ["completed", "completed"]


def test_a_folder_that_cannot_be_written_is_a_sentence(toy, tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("")
    done = study("run", toy(GRID), "--runs", blocked / "runs")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_data_that_is_missing_is_asked_for_before_anything_starts(toy, tmp_path):
    (tmp_path / "data" / "toy-data" / "card.json").unlink()
    done = study("run", toy(GRID))
    assert done.returncode == 2
    assert "study data prepare toy-data" in done.stderr
    assert not (tmp_path / "runs").exists()


def test_plan_shows_state_and_cost_and_writes_nothing(toy, tmp_path):
    grid = toy(GRID)
    shown = study("plan", grid)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.count("planned") == 4  # three rows and the sum
    assert "MACs in G, parameters in M" in shown.stdout
    assert not (tmp_path / "runs").exists()
    study("run", grid)
    assert "3 completed" in study("plan", grid, "--no-cost").stdout


def test_status_logs_and_inspect_show_a_run(toy, tmp_path):
    grid = toy(GRID)
    study("run", grid)
    before = _everything(tmp_path / "runs")
    assert "3 completed" in study("status", grid).stdout
    name = next(f.path.name for f in folders(tmp_path) if "1111" in f.path.name)
    shown = study("inspect", name[:-4]).stdout
    for part in (name, "mechanism  1111 at a, seed", "attempt 1  local on", "score", "toy numbers"):
        assert part in shown
    assert study("logs", name).returncode == 0
    assert _everything(tmp_path / "runs") == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["logs", "toy"], "3 runs match 'toy'"),
        (["inspect", "nothing-like-it"], "no run 'nothing-like-it'"),
        (["logs", "--attempt", "7", "toy-toy-data-none"], "has no attempt 7; it has 1"),
        (["logs", ""], "name a run by its id"),
        (["status", "--runs", "nowhere"], "no such folder"),
        (["table", "--runs", "nowhere"], "no such folder"),
        (["run", "absent.yaml"], "no such file: absent.yaml"),
        (["plan", "bad.yaml"], "bad.yaml:2: unknown key 'products'; did you mean 'product'?"),
    ],
)
def test_a_mistake_is_a_sentence_and_exit_code_2(toy, arguments, message):
    study("run", toy(GRID))
    toy("task: toy\nproducts: {}\n", "bad.yaml")
    done = study(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_slots_divide_the_cores(toy):
    from study.launch.local.slots import Slots
    from study.runs.provenance import cores

    assert Slots(1, []).threads == cores()
    assert Slots(cores(), []).threads == 1
    assert Slots(cores() * 3, []).threads == 1


def test_help_is_instant_and_without_frameworks():
    code = (
        "import sys; from study import cli; "
        "sys.exit(len({'torch', 'pandas', 'mmengine', 'fairseq', 'matplotlib'} & {*sys.modules}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def _start(grid: Path, *options: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "study", "run", str(grid), *options],
        stdout=subprocess.PIPE,
        text=True,
    )


def _wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not happen in time")


def _everything(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")}
