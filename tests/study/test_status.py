"""`study status` and `study watch`: what they count, what they ask, and what scripts get."""

import json
import signal
import subprocess
import sys
import time

import pytest

from .conftest import study
from .made import ended, everything, finished, line, planned, scheduler, submitted

WORDS = ["none", "1111", "0010", "0110", "1000"]
GRID = f"task: toy\nproduct:\n  mechanism: [{', '.join(WORDS)}]\n"


def test_status_counts_what_the_scheduler_says_and_asks_it_once(toy, tmp_path, monkeypatch):
    root, grid = tmp_path / "runs", toy(GRID)
    submitted(planned(root, "none"), 0)
    submitted(planned(root, "1111"), 1)
    submitted(planned(root, "0010"), 2)
    submitted(planned(root, "0110"), 3, job="7_3")
    answer = line(0, "PENDING", "Priority") + line(1, "PENDING", "Priority")
    answer += line(2, "PENDING", "QOSMaxJobsPerUserLimit") + line(3, "RUNNING", node="gpu1")
    calls = scheduler(tmp_path, monkeypatch, answer)
    before = everything(root)
    shown = study("status", grid)
    assert "3 queued (Priority 2, QOSMaxJobsPerUserLimit 1)" in shown.stdout
    assert "1 running" in shown.stdout
    assert "1 planned" in shown.stdout
    assert shown.returncode == 3
    assert calls.read_text().split() == ["squeue"]
    rows = {row["mechanism"]: row for row in json.loads(study("status", grid, "--json").stdout)}
    assert [rows[word]["state"] for word in WORDS] == [*["queued"] * 3, "running", "planned"]
    assert rows["none"]["reason"] == "Priority"
    assert (rows["none"]["job"], rows["0110"]["job"]) == ("7_0", "7_3")
    assert rows["1000"] | {"grid": "grid", "seed": 0, "attempts": 0, "job": None} == rows["1000"]
    assert everything(root) == before


def test_a_scheduler_that_is_silent_is_a_note_and_the_records_count(toy, tmp_path, monkeypatch):
    submitted(planned(tmp_path / "runs"), 0, job="7_0")
    scheduler(tmp_path, monkeypatch, code=1)
    shown = study("status")
    assert "1 running" in shown.stdout
    assert "Unable to contact slurm controller" in shown.stderr
    assert "Unable" not in shown.stdout
    assert json.loads(study("status", "--json").stdout)[0]["state"] == "running"


def test_exit_codes_tell_done_from_waiting_from_failed(toy, tmp_path):
    root, grid = tmp_path / "runs", toy("task: toy\nproduct: {mechanism: [none, 1111]}\n")
    root.mkdir()
    assert study("status", grid).returncode == 3
    finished(planned(root, "none"))
    assert study("status", grid).returncode == 3
    ended(planned(root, "1111"), "failed", "ValueError: no such thing")
    failed = study("status", grid)
    assert failed.returncode == 1
    assert "ValueError: no such thing" in failed.stdout
    assert study("status", grid, "--mechanism", "none").returncode == 0
    finished(planned(root, "1111"))
    assert study("status", grid).returncode == 0


def test_of_many_failures_the_first_are_named_and_the_rest_counted(toy, tmp_path):
    for seed in range(23):
        ended(planned(tmp_path / "runs", seed=seed), "oom", "CUDA out of memory")
    shown = study("status").stdout
    assert "23 oom" in shown
    assert shown.count("toy-toy-data-1111-a-s") == 20
    assert "and 3 more" in shown
    assert len(json.loads(study("status", "--json").stdout)) == 23


def test_filters_choose_with_and_without_a_grid(toy, tmp_path):
    root, grid = tmp_path / "runs", toy(GRID + "seeds: [0, 1]\n")
    finished(planned(root, "0010", seed=1))
    ended(planned(root, "1111", seed=1), "killed")

    def ids(*arguments):
        rows = json.loads(study("status", *arguments, "--json").stdout)
        return [(row["mechanism"], row["seed"]) for row in rows]

    assert ids(grid, "--mechanism", "0010") == [("0010", 0), ("0010", 1)]
    assert ids("--mechanism", "0010", "--mechanism", "1111", "--seed", 1) == [
        ("0010", 1),
        ("1111", 1),
    ]
    assert ids("--state", "killed") == [("1111", 1)]
    assert ids("--state", "failed") == []
    name = next(path.name for path in root.iterdir() if "0010" in path.name)
    assert ids("--run", name[-6:]) == [("0010", 1)]
    mistaken = study("status", "--seed", 7)
    assert mistaken.returncode == 2
    assert mistaken.stderr == "error: --seed 7: none of the 2 runs has it; valid: 1\n"
    mistaken = study("status", "--run", name, "--run", "toy-nothing")
    assert mistaken.stderr == "error: --run toy-nothing: none of the 2 runs has that in its id\n"
    mistaken = study("status", "--mechanism", "0010", "--mechanism", "0011")
    assert mistaken.stderr == (
        "error: --mechanism 0011: none of the 2 runs has it; did you mean '0010'?\n"
    )
    assert "did you mean 'failed'" in study("status", "--state", "fialed").stderr


def test_watch_tells_each_change_and_ends_with_the_last_run(toy, tmp_path):
    grid = toy("task: toy\nproduct: {mechanism: [none, 1111]}\nrecipe: {seconds: 0.6}\n")
    command = [sys.executable, "-m", "study"]
    training = subprocess.Popen([*command, "run", grid], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not list(tmp_path.glob("runs/*/attempts/1/submission.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    watched = study("watch", grid, "--every", 0.3)
    assert training.wait(30) == 0
    assert watched.returncode == 0, watched.stdout + watched.stderr
    for label in ("toy-toy-data-none-s0", "toy-toy-data-1111-a-s0"):
        assert f"running    {label}" in watched.stdout
        assert f"completed  {label}  score" in watched.stdout
    assert "2 completed" in watched.stdout.splitlines()[-1]


def test_watch_does_not_wait_for_what_nobody_starts(toy, tmp_path, monkeypatch):
    grid = toy(GRID)
    submitted(planned(tmp_path / "runs", "1111"), 0)
    calls = scheduler(tmp_path, monkeypatch, line(0, "PENDING", "Resources"))
    command = [sys.executable, "-m", "study", "watch", str(grid), "--every", "0.2"]
    # A shell lets its background jobs ignore SIGINT, and this test may run in one.
    heed = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **heed)
    assert "1 queued (Resources 1)" in process.stdout.readline()
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    assert len(calls.read_text().split()) == 1  # though it looks five times a second
    attempt = next(tmp_path.glob("runs/*/attempts/1"))
    (attempt / "exit.json").write_text(json.dumps({"cause": "failed", "code": 1, "seconds": 1.0}))
    ended_watch = study("watch", grid, "--every", 0.2)
    assert ended_watch.returncode == 1
    assert "4 planned" in ended_watch.stdout.splitlines()[-1]


@pytest.mark.parametrize("words", [["--help"], ["status", "--help"]])
def test_help_imports_nothing_that_takes_its_time(words):
    code = (
        "import sys; from study import cli\n"
        "try: cli.app(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'pandas', 'scipy', 'psutil', 'yaml', 'jinja2', 'matplotlib',\n"
        "         'plugins.contracts.task', 'study.launch.protocol'} & {*sys.modules}\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
