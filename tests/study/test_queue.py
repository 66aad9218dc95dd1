"""The state of a run on a cluster follows from its records and from what the scheduler says."""

from __future__ import annotations

import time

import pytest

from study.errors import StudyError
from study.files import write_json
from study.launch.due import why_not
from study.launch.jobs import Answers
from study.launch.slurm.queue import LOST_SECONDS, ArrayTask, Queue
from study.launch.slurm.words import NOBODYS
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

TOKEN = "study-0123456789ab"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run whose only attempt is task 3 of an array."""
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "0")
    path = tmp_path / "a-run"
    record = {"schema": 1, "id": "a-run", "label": "a", "hash": "0", "grid": "g", "science": {}}
    write_json(path / "run.json", record)
    folder = RunFolder(path)
    attempt = folder.claim()
    attempt.queue("slurm", TOKEN, 3)
    return folder


def queue(state=None, answered=True, name=TOKEN):
    task = ArrayTask("77_3", state, "Priority", "gpu1", time.time() - 1) if state else None
    return Queue({(name, 3): task} if task else {}, answered=answered)


def age(folder, seconds):
    """Let the submission, and the beginning if there is one, have been so long ago."""
    attempt = folder.newest
    for name, record in (("submission", attempt.submission), ("start", attempt.start)):
        if record:
            write_json(attempt.path / f"{name}.json", {**record, "time": time.time() - seconds})


@pytest.mark.parametrize(
    ("slurm", "state"),
    [
        ("PENDING", "queued"),
        ("REQUEUE_HOLD", "queued"),
        ("RUNNING", "running"),
        ("COMPLETING", "running"),
        ("SUSPENDED", "running"),
        ("A_STATE_OF_TOMORROW", "running"),
        ("COMPLETED", "killed"),
        ("FAILED", "killed"),
        ("TIMEOUT", "timeout"),
        ("PREEMPTED", "preempted"),
        ("OUT_OF_MEMORY", "oom"),
        ("NODE_FAIL", "killed"),
        ("CANCELLED", "killed"),
        (NOBODYS, "lost"),
    ],
)
def test_what_left_no_record_has_the_state_that_slurm_gives_it(run, slurm, state):
    assert run.state(queue(slurm).state) == state


def test_a_record_counts_for_more_than_the_schedulers_word(run):
    run.newest.begin("77_3")
    run.newest.end("failed", 1, time.time(), "ValueError: no")
    for slurm in ("RUNNING", "COMPLETED", "FAILED", None):
        assert run.state(queue(slurm).state) == "failed"


def test_what_was_preempted_is_queued_while_its_job_is_in_the_queue_again(run):
    run.newest.begin("77_3")
    run.newest.end("preempted", 143, time.time(), "")
    assert run.state(queue("PENDING").state) == "queued"
    assert run.state(queue("PREEMPTED").state) == "preempted"
    assert run.state(queue("CANCELLED").state) == "killed"
    assert run.state(queue(None).state) == "preempted"


@pytest.mark.parametrize(
    ("cause", "noted"),
    [("timeout", None), ("preempted", None), ("preempted", "PREEMPTED")],
)
def test_what_waited_again_and_is_cancelled_then_is_left_alone(run, cause, noted):
    attempt = run.newest
    attempt.begin("77_3")
    attempt.end(cause, -9, time.time(), "")
    if noted:
        attempt.note(noted)
    assert run.state(queue("PENDING").state) == "queued"
    for word, state, why in (
        ("CANCELLED", "killed", "cancelled, as Slurm says"),
        (NOBODYS, cause, ""),
        (None, cause, ""),
    ):
        said = Answers({"slurm": queue(word)})
        assert run.state(said.state) == state
        assert why_not(run, state, said) == why


def test_who_is_killed_for_want_of_memory_cannot_say_so(run):
    run.newest.begin("77_3")
    run.newest.end("killed", -9, time.time(), "SIGKILL")
    assert run.state(queue("OUT_OF_MEMORY").state) == "oom"
    assert run.state(queue("FAILED").state) == "killed"


def test_unknown_becomes_lost_once_nothing_has_been_heard_for_long(run):
    assert run.state(queue(None).state) == "queued"
    age(run, LOST_SECONDS + 1)
    assert run.state(queue(None).state) == "lost"
    assert run.state(queue(None, answered=False).state) == "queued"
    run.newest.begin("77_3")
    age(run, LOST_SECONDS + 1)
    assert run.state(queue(None).state) == "lost"
    (run.path / "metrics.jsonl").write_text("{}\n")
    assert run.state(queue(None).state) == "running"


def test_a_job_that_has_our_id_and_another_name_is_not_ours(run):
    age(run, LOST_SECONDS + 1)
    assert run.state(queue("RUNNING", name="somebody-elses").state) == "lost"


def test_a_record_may_be_on_its_way_for_a_while_after_the_end(run, monkeypatch):
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "60")
    run.newest.begin("77_3")
    assert run.state(queue("COMPLETED").state) == "running"


def test_a_time_that_is_none_is_a_sentence(run, monkeypatch):
    monkeypatch.setenv("STUDY_SETTLE_SECONDS", "soon")
    with pytest.raises(StudyError, match="STUDY_SETTLE_SECONDS=soon: seconds are expected"):
        run.state(queue("COMPLETED").state)


def test_who_cancelled_does_not_hide_what_slurm_says(run):
    run.newest.cancel("somebody")
    assert queue("CANCELLED").settle(run.newest, "killed")
    assert "Slurm says CANCELLED of job 77_3" in run.newest.exit["error"]


def test_what_is_written_off_is_closed_to_its_job_and_what_has_begun_is_not_written_off(run):
    late = run.newest
    assert late.write_off("lost", "no sign of life")
    assert not late.begin("77_3")
    assert run.state() == "lost"
    second = run.claim()
    second.queue("slurm", TOKEN, 3)
    stale = run.newest
    assert run.newest.begin("77_3")
    assert not stale.write_off("lost", "no sign of life")
    assert run.state() == "running"


def test_the_time_of_a_run_does_not_grow_until_somebody_looks(run):
    run.newest.begin("77_3")
    age(run, 3600)
    assert queue("OUT_OF_MEMORY").settle(run.newest, "oom")
    assert run.newest.exit["seconds"] == pytest.approx(3599, abs=5)
    run.claim().queue("slurm", TOKEN, 3)
    assert queue("OUT_OF_MEMORY").settle(run.newest, "oom")
    assert run.newest.exit["seconds"] == 0


def test_the_first_of_several_processes_to_fail_tells_why(run):
    attempt = run.newest
    attempt.begin("77_3")
    assert attempt.end("failed", 1, time.time(), "CUDA error on rank 3")
    assert not attempt.end("preempted", 143, time.time(), "")
    assert run.newest.exit["error"] == "CUDA error on rank 3"


def test_the_schedulers_word_is_recorded_beside_the_runs_own(run):
    attempt = run.newest
    attempt.begin("77_3")
    attempt.end("preempted", 143, time.time(), "")
    assert queue("NODE_FAIL").settle(run.newest, "preempted")
    assert run.newest.ending["scheduler"] == "NODE_FAIL"
    assert Attempt.read(attempt.path).exit["cause"] == "preempted"


def test_each_line_is_about_the_tasks_that_it_names_and_one_task_counts_for_more_than_a_list(
    monkeypatch,
):
    from study.launch.slurm import queue as module

    answers = {
        "squeue": f"{TOKEN}|77|3|PENDING|N/A||Resources|N/A\n"
        f"{TOKEN}|77|[6-9,11...]|PENDING|N/A||None|N/A\nother|78|N/A|RUNNING|N/A|gpu1|None\n\n",
        "sacct": f"{TOKEN}|77_[5,10,12%2]|CANCELLED by 0|2026-01-01T00:00:00|None assigned|None\n"
        f"{TOKEN}|77_5|COMPLETED|2026-01-01T00:00:00|gpu1|None|2026-01-01T00:00:00\n"
        f"{TOKEN}|77_5.batch|FAILED|2026-01-01T00:00:00|gpu1|None\n"
        f"{TOKEN}|77_[6-9]|PENDING|Unknown||None\nallocation|77|COMPLETED|Unknown||None\n"
        f"{TOKEN}|77_8|RUNNING|Unknown|gpu1|None\n",
    }
    monkeypatch.setattr(module, "call", lambda *command: answers[command[0]])
    found = Queue()
    found.read_squeue([TOKEN])
    found.read_sacct([TOKEN], 0.0)
    states = {key: task.state for key, task in found.tasks.items()}
    assert states == {
        **{(TOKEN, index): "PENDING" for index in (3, 6, 7, 8, 9)},
        (TOKEN, 5): "COMPLETED",
        **{(TOKEN, index): "CANCELLED" for index in (10, 12)},
    }
    assert {task.node for key, task in found.tasks.items() if key[1] in (10, 12)} == {""}


def test_who_cancelled_is_asked_of_the_accounting_also_while_the_controller_remembers(
    run, monkeypatch
):
    from study.launch.slurm import queue as module

    answers = {"squeue": f"{TOKEN}|77|3|CANCELLED|2026-01-01T00:00:00|gpu1|None|N/A\n"}
    monkeypatch.setattr(module, "call", lambda *command: answers[command[0]])
    for told, word in (
        ("CANCELLED by 1000", "CANCELLED"),
        ("CANCELLED", NOBODYS),
        ("RUNNING", "CANCELLED"),  # it is behind
    ):
        answers["sacct"] = f"{TOKEN}|77_3|{told}|2026-01-01T00:00:00|gpu1|None|Unknown\n"
        assert Queue.ask([run.newest]).word(run.newest) == word


def test_what_a_job_without_a_record_leaves_is_where_and_when_it_was(run):
    began = time.time() - 5
    task = ArrayTask("77_3", "FAILED", "", "gpu1", began + 2, began)
    assert Queue({(TOKEN, 3): task}, answered=True).settle(run.newest, "killed")
    told = {"id": "77_3", "node": "gpu1", "began": began, "ended": began + 2}
    assert run.newest.exit["job"] == told
    assert run.newest.node == "gpu1"


def test_a_waiting_task_of_which_slurm_keeps_no_trace_was_cancelled(run):
    array = {"answered": True, "accounts": {TOKEN: "77"}}
    assert run.state(Queue(**array).state) == "queued"
    age(run, LOST_SECONDS + 1)
    assert run.state(Queue(**array).state) == "killed"
    assert Queue(**array).word(run.newest) == "CANCELLED"
    assert "cancelled while it waited" in Queue(**array).why(run.newest)
    # A queue that does not answer may still have it, and one that does may hide a colleague's.
    assert run.state(Queue(**{**array, "answered": False}).state) == "queued"
    record = run.newest.submission
    write_json(run.newest.path / "submission.json", {**record, "user": "somebody"})
    assert run.state(Queue(**array).state) == "queued"
    assert Queue(**array).word(run.newest) is None
    write_json(run.newest.path / "submission.json", record)
    run.newest.begin("77_3")
    age(run, LOST_SECONDS + 1)
    assert run.state(Queue(**array).state) == "lost"


def test_what_a_list_that_was_cut_does_not_name_is_a_part_of_it(run):
    more = ArrayTask("77", "CANCELLED", "", "", time.time() - 1)
    assert run.state(Queue(cut={TOKEN: (3, more)}, answered=True).state) == "killed"
    assert run.state(Queue(cut={TOKEN: (4, more)}, answered=True).state) == "queued"
