"""The run folder: nothing half-written is ever read, and the state is what really happened."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from study.errors import StudyError
from study.files import BrokenFile, append_jsonl, read_json, read_metrics, write_json
from study.runs.attempt import CLAIM_GRACE
from study.runs.folder import RunFolder, find_run, iter_runs

RUN = {"schema": 1, "id": "a-run", "label": "a", "hash": "0", "grid": "g", "science": {}}
RESULT = {
    "schema": 1,
    "metric": "m",
    "metrics": {},
    "untrained": {},
    "loss": {},
    "cost": {},
    "seconds": 1,
}


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "a-run"
    write_json(path / "run.json", RUN)
    return RunFolder(path)


@pytest.fixture
def sleeper():
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def submission(pid, created=None, host=None):
    return {
        "launcher": "local",
        "host": host or socket.gethostname(),
        "pid": pid,
        "pid_created": psutil.Process(pid).create_time() if created is None else created,
    }


def test_written_json_is_read_back_with_its_umlauts_and_order(tmp_path):
    obj = {"z": "Größe", "a": [1, None]}
    write_json(tmp_path / "new" / "x.json", obj)
    assert list(read_json(tmp_path / "new" / "x.json").items()) == list(obj.items())


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"fine": 1, "not serialisable": object()})
    assert read_json(path) == {"old": 1}
    assert names(tmp_path) == ["x.json"]


def test_written_files_obey_the_umask_so_that_colleagues_can_read_them(tmp_path):
    before = os.umask(0o022)
    try:
        write_json(tmp_path / "x.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "x.json").stat().st_mode & 0o777 == 0o644


def test_a_reader_never_sees_half_a_file_while_another_process_rewrites_it(tmp_path):
    path = tmp_path / "x.json"
    write_json(path, {"n": 0, "padding": "x" * 100_000})
    code = (
        "import sys; from pathlib import Path; from study.files import write_json\n"
        "for n in range(60): write_json(Path(sys.argv[1]), {'n': n, 'padding': 'x' * 100_000})"
    )
    writer = subprocess.Popen([sys.executable, "-c", code, str(path)])
    reads = 0
    while writer.poll() is None:
        assert len(read_json(path)["padding"]) == 100_000
        reads += 1
    assert writer.returncode == 0
    assert reads > 0


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"[1, 2]", b"\xff\xfe{}", b"null"])
def test_anything_but_a_whole_object_is_a_broken_file(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(BrokenFile, match=r"x\.json"):
        read_json(tmp_path / "x.json")


def test_an_absent_file_is_none_and_broken_files_reach_the_user_as_a_sentence(tmp_path):
    assert read_json(tmp_path / "x.json") is None
    assert read_metrics(tmp_path / "metrics.jsonl") == []
    assert issubclass(BrokenFile, StudyError)


def test_a_torn_last_line_is_skipped_and_the_next_writer_starts_a_line_of_its_own(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_jsonl(path, {"split": "train", "step": 10, "loss": 2.0})
    with path.open("ab") as file:
        file.write(b'{"split": "train", "step": 20, "lo')
    assert [r["step"] for r in read_metrics(path)] == [10]
    append_jsonl(path, {"split": "train", "step": 20, "loss": 1.5})
    assert [(r["step"], r["loss"]) for r in read_metrics(path)] == [(10, 2.0), (20, 1.5)]
    assert path.read_bytes().count(b"\n") == 3


def test_a_line_torn_inside_a_character_does_not_hide_the_others(tmp_path):
    path = tmp_path / "metrics.jsonl"
    append_jsonl(path, {"split": "val", "step": 1, "note": "für"})
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: whole.index("ü".encode()) + 1])
    append_jsonl(path, {"split": "val", "step": 2})
    assert [r["step"] for r in read_metrics(path)] == [1, 2]


def test_after_a_resume_the_later_account_of_a_step_counts_and_splits_stay_apart(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for split, step, value in [
        ("train", 10, 3.0), ("val", 10, 0.1), ("train", 20, 2.0), ("train", 30, 1.9),
        ("train", 20, 2.1), ("train", 25, 2.0), ("train", 30, 1.8),
    ]:  # fmt: skip
        append_jsonl(path, {"split": split, "step": step, "value": value})
    append_jsonl(path, {"split": "untrained", "value": 0.0})
    got = [(r["split"], r.get("step"), r["value"]) for r in read_metrics(path)]
    assert got == [
        ("untrained", None, 0.0),
        ("train", 10, 3.0),
        ("val", 10, 0.1),
        ("train", 20, 2.1),
        ("train", 25, 2.0),
        ("train", 30, 1.8),
    ]


def test_lines_of_concurrent_writers_do_not_mix(tmp_path):
    path = tmp_path / "metrics.jsonl"

    def write(writer):
        for step in range(100):
            append_jsonl(path, {"split": str(writer), "step": step, "pad": "x" * 500})

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_metrics(path)) == 400


def test_a_run_without_attempts_is_planned_and_reading_it_writes_nothing(folder):
    assert folder.state() == "planned"
    assert (folder.result, folder.provenance) == (None, None)
    assert (folder.metrics, folder.attempts) == ([], [])
    assert names(folder.path) == ["run.json"]


def test_a_run_runs_as_long_as_its_process_and_then_was_killed(folder, sleeper):
    attempt = folder.claim()
    write_json(attempt.path / "submission.json", submission(sleeper.pid))
    assert folder.state() == "running"
    sleeper.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    # Nobody has waited for the process: it is a zombie, with its number and start time in place.
    while psutil.Process(sleeper.pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert folder.state() == "killed"
    sleeper.wait()
    assert folder.state() == "killed"


def test_another_process_with_the_recorded_number_is_not_the_run(folder, sleeper):
    attempt = folder.claim()
    created = psutil.Process(sleeper.pid).create_time()
    write_json(attempt.path / "submission.json", submission(sleeper.pid, created - 100))
    assert folder.state() == "killed"
    write_json(attempt.path / "submission.json", submission(sleeper.pid, created - 0.5))
    assert folder.state() == "running"


def test_a_clock_that_is_set_neither_ends_a_run_nor_gives_its_number_away(
    folder, sleeper, monkeypatch
):
    attempt = folder.claim()
    attempt.submit("local", sleeper.pid)
    boot_time = psutil.boot_time()
    # As by a time server an hour later: of a start that was read by the clock.
    monkeypatch.setattr(psutil._pslinux, "boot_time", lambda: boot_time + 3600)
    assert folder.state() == "running"
    assert folder.claim() is None
    record = folder.newest.submission
    for other in ({"boot": "another"}, {"pid_ticks": record["pid_ticks"] - 1}):
        write_json(attempt.path / "submission.json", record | other)
        assert folder.state() == "killed"


def test_a_process_of_another_host_counts_as_running_until_it_says_how_it_ended(folder):
    attempt = folder.claim()
    record = submission(2**22, created=0.0, host="another-node")
    write_json(attempt.path / "submission.json", record)
    assert folder.state() == "running"
    write_json(attempt.path / "exit.json", {"cause": "timeout"})
    assert folder.state() == "timeout"


@pytest.mark.parametrize("cause", ["failed", "preempted", "timeout", "oom", "killed"])
def test_the_newest_attempt_gives_the_cause(folder, cause):
    for n in (1, 2, 10):  # by number, not by name: "10" sorts before "2"
        write_json(folder.path / "attempts" / str(n) / "exit.json", {"cause": "failed"})
    write_json(folder.path / "attempts" / "10" / "exit.json", {"cause": cause})
    assert [attempt.n for attempt in folder.attempts] == [1, 2, 10]
    assert folder.attempts[-1].exit == {"cause": cause}
    assert folder.state() == cause


def test_an_ending_wins_over_a_process_that_still_lives(folder, sleeper):
    attempt = folder.claim()
    write_json(attempt.path / "submission.json", submission(sleeper.pid))
    write_json(attempt.path / "exit.json", {"cause": "failed"})
    assert folder.state() == "failed"


def test_an_unknown_cause_is_a_broken_file(folder):
    write_json(folder.path / "attempts" / "1" / "exit.json", {"cause": "planned"})
    with pytest.raises(BrokenFile, match="planned"):
        folder.state()


def test_the_result_alone_completes_a_run(folder):
    write_json(folder.path / "attempts" / "1" / "exit.json", {"cause": "completed"})
    assert folder.state() == "failed"  # its result is gone, so the run has to be had again
    write_json(folder.path / "result.json", RESULT)
    assert folder.state() == "completed"
    write_json(folder.path / "attempts" / "2" / "exit.json", {"cause": "failed"})
    assert folder.state() == "completed"


@pytest.mark.parametrize("name", ["run", "result"])
def test_a_newer_schema_is_refused_by_name_and_by_state(folder, name):
    write_json(folder.path / f"{name}.json", {"schema": 2})
    with pytest.raises(StudyError, match="schema 2 is newer"):
        getattr(folder, name)
    with pytest.raises(StudyError, match="schema 2 is newer"):
        folder.state()


def test_a_file_without_a_schema_is_broken(folder):
    write_json(folder.path / "run.json", {"id": "a-run"})
    with pytest.raises(BrokenFile, match="schema"):
        _ = folder.run


def _claim_when_all_are_ready(path, barrier, wins):
    barrier.wait()
    attempt = RunFolder(path).claim()
    if attempt is not None:
        wins.put(attempt.n)


def test_of_many_processes_one_gets_the_attempt(folder):
    context = multiprocessing.get_context("fork")
    for expected in (1, 2, 3):
        barrier, wins = context.Barrier(4), context.Queue()
        claimants = [
            context.Process(target=_claim_when_all_are_ready, args=(folder.path, barrier, wins))
            for _ in range(4)
        ]
        for claimant in claimants:
            claimant.start()
        for claimant in claimants:
            claimant.join(20)
            assert claimant.exitcode == 0
        assert wins.get(timeout=5) == expected
        assert wins.empty()
        write_json(folder.path / "attempts" / str(expected) / "exit.json", {"cause": "failed"})


def test_a_loser_of_the_race_for_the_folder_gets_none(folder, monkeypatch):
    make = Path.mkdir

    def overtaken(self, *args, **options):
        if self.name == "1":
            make(self)  # somebody else, between the look and the claim
        make(self, *args, **options)

    monkeypatch.setattr(Path, "mkdir", overtaken)
    assert folder.claim() is None


def test_a_run_that_lives_here_or_is_done_cannot_be_claimed(folder, sleeper):
    first = folder.claim()
    write_json(first.path / "submission.json", submission(sleeper.pid))
    assert folder.claim() is None
    sleeper.kill()
    sleeper.wait()
    assert folder.claim().n == 2
    write_json(folder.path / "result.json", RESULT)
    assert folder.claim() is None
    assert names(folder.path / "attempts") == ["1", "2"]


def test_what_a_lost_process_trained_is_recorded_by_the_next_claim(folder, sleeper):
    """As after a power failure, of which no process and no launcher could tell."""
    first = folder.claim()
    write_json(first.path / "submission.json", submission(sleeper.pid) | {"time": 1000.0})
    (folder.path / "metrics.jsonl").write_text('{"split": "train", "step": 1}\n')
    os.utime(folder.path / "metrics.jsonl", (1500.0, 1500.0))
    sleeper.kill()
    sleeper.wait()
    assert folder.claim().n == 2
    ended = folder.attempts[0].exit
    assert (ended["cause"], ended["seconds"]) == ("killed", 500.0)
    assert ended["error"] == "the process is gone and left no record"
    assert names(first.path) == ["exit.json", "submission.json"]


def test_a_claim_without_a_submission_is_respected_for_a_while_only(folder):
    first = folder.claim()
    assert folder.claim() is None
    past = time.time() - CLAIM_GRACE - 1
    os.utime(first.path, (past, past))
    assert folder.claim().n == 2


def test_a_run_of_another_host_is_left_to_it_until_its_attempt_is_renamed(folder):
    attempt = folder.claim()
    record = submission(2**22, created=0.0, host="another-node")
    write_json(attempt.path / "submission.json", record)
    assert folder.claim() is None
    attempt.path.rename(attempt.path.with_name("1.lost"))
    assert folder.claim().n == 1


def test_a_fresh_claim_counts_as_running_so_that_nobody_takes_it_for_dead(folder):
    first = folder.claim()
    assert folder.state() == "running"
    past = time.time() - CLAIM_GRACE - 1
    os.utime(first.path, (past, past))
    assert folder.state() == "killed"


@pytest.mark.parametrize("name", ["run.json", "result.json", "attempts/1/exit.json"])
def test_among_many_a_torn_run_is_broken_and_stops_nobody(folder, name):
    folder.claim()
    (folder.path / name).write_text('{"sche')
    assert folder.condition() == "broken"
    with pytest.raises(BrokenFile):
        folder.state()


@pytest.mark.parametrize("lacking", ["id", "science"])
def test_a_run_without_what_every_reader_needs_is_broken(folder, lacking):
    write_json(folder.path / "run.json", {k: v for k, v in RUN.items() if k != lacking})
    with pytest.raises(BrokenFile, match=lacking):
        _ = folder.run


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "name a run"),
        ("a", "2 runs match"),
        ("x-run", "no run 'x-run'(.|\n)*did you mean(.|\n)*b-run"),
    ],
)
def test_a_name_that_is_not_one_run_is_explained(tmp_path, name, message):
    for run in ("a1-run", "a2-run", "b-run"):
        write_json(tmp_path / run / "run.json", RUN)
    with pytest.raises(StudyError, match=message):
        find_run(tmp_path, name)
    assert find_run(tmp_path, "b").path.name == "b-run"
    assert find_run(tmp_path, "2-run").path.name == "a2-run"


def test_runs_come_sorted_and_other_folders_are_ignored(tmp_path):
    for name in ("b", "a", "c"):
        write_json(tmp_path / name / "run.json", {"schema": 1})
    (tmp_path / "no-run").mkdir()
    (tmp_path / "a-file").write_text("")
    assert [run.path.name for run in iter_runs(tmp_path)] == ["a", "b", "c"]
    assert list(iter_runs(tmp_path / "absent")) == []


def test_the_reader_starts_without_torch_or_pandas():
    code = "import sys, json, study.runs.folder; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "pandas", "numpy", "pydantic"} & set(json.loads(done.stdout))
