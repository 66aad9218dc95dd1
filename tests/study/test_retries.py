"""Which ends of an attempt are followed by another one."""

import time

import pytest

from study.files import write_json
from study.launch.due import goes_on, why_not
from study.launch.jobs import Answers
from study.launch.retries import LIMITS, STALLS, cause_of, may_retry, stalls
from study.launch.slurm.words import WORDS

from .made import planned


def ended(cause, scheduler=None, code=1):
    return {"cause": cause, "code": code} | ({"scheduler": scheduler} if scheduler else {})


KILLED = ended("killed", code=-9)


def retried(endings, *limits):
    return may_retry([cause_of(ending, WORDS) for ending in endings], *limits)


@pytest.mark.parametrize(
    ("ending", "cause"),
    [
        (ended("failed", "FAILED"), "failed"),
        (ended("oom", "FAILED"), "oom"),
        (ended("preempted", "PREEMPTED", 143), "preempted"),
        (ended("preempted", "TIMEOUT", 143), "timeout"),
        (ended("timeout", code=143), "timeout"),
        (ended("preempted", "NODE_FAIL", 143), "node failure"),
        (ended("preempted", "CANCELLED by 1000", 143), "cancelled"),
        (ended("preempted", "CANCELLED by nobody", 143), "lost"),
        (ended("killed", code=143), "cancelled"),
        (ended("failed", "OUT_OF_MEMORY"), "oom host"),
        (KILLED, "killed"),
        ({}, "lost"),
        ({"scheduler": "BOOT_FAIL"}, "node failure"),
    ],
)
def test_the_scheduler_knows_why_a_worker_was_told_to_stop(ending, cause):
    assert cause_of(ending, WORDS) == cause


@pytest.mark.parametrize("cause", LIMITS)
def test_each_cause_is_tried_again_up_to_its_limit(cause):
    ending = {
        "node failure": ended("preempted", "NODE_FAIL"),
        "oom host": ended("oom", "OUT_OF_MEMORY"),
        "killed": KILLED,
    }.get(cause, ended(cause))
    limit = LIMITS[cause]
    assert retried([ending] * int(min(limit, 1000)))
    assert retried([ending] * (1 + int(min(limit, 1000)))) is (limit > 1000)


@pytest.mark.parametrize("ending", [ended("failed"), ended("oom"), ended("completed", code=0)])
def test_what_would_come_again_is_left_alone(ending):
    assert not retried([ending])
    assert not retried([KILLED, ending])


def test_causes_are_counted_apart_and_a_caller_may_have_limits_of_its_own():
    assert retried([])
    assert retried([ended("preempted")] * 10 + [KILLED, KILLED])
    assert not retried([KILLED, ended("preempted"), KILLED, ended("timeout"), KILLED])
    assert not retried([ended("preempted")], {"killed": 2})


@pytest.mark.parametrize(
    ("ends", "count"),
    [
        ("", 0),
        ("t- t- t-", 3),
        ("p- t- p-", 3),
        ("t- t- t+", 0),
        ("t- t+ t-", 1),
        ("t- k- t-", 2),
        ("t- t- k-", 0),
        ("k+ t- t- t- t-", 4),
    ],
)
def test_attempts_in_a_row_that_leave_no_checkpoint_are_counted(ends, count):
    """Each end is timeout, preempted or killed, and + or -: a newer checkpoint or none."""
    words = {"t": "timeout", "p": "preempted", "k": "killed"}
    causes = [words[end[0]] for end in ends.split()]
    assert stalls(causes, [end[1] == "+" for end in ends.split()]) == count


def attempt(folder, cause, checkpoint=None):
    made = folder.claim()
    made.submit("local", 1)
    if checkpoint is not None:
        path = folder.path / "checkpoints" / checkpoint
        path.parent.mkdir(parents=True, exist_ok=True)
        time.sleep(0.02)
        path.write_text("")
    made.end(cause, 143, time.time(), "")


@pytest.mark.parametrize("cause", ["timeout", "preempted"])
def test_nothing_is_tried_for_ever_without_a_newer_checkpoint(tmp_path, cause):
    folder = planned(tmp_path / "runs")
    for n in range(STALLS):
        assert goes_on(folder), n
        attempt(folder, cause)
    assert not goes_on(folder)
    told = why_not(folder, cause, Answers())
    assert told.startswith(f"{STALLS} attempts were told to stop ({cause}) before they had left")
    attempt(folder, cause, "epoch_1.pth")
    assert goes_on(folder)
    # What MMEngine writes at each start.
    for name in ("20190411_120000.py", "20190411_120000/vis_data/scalars.json"):
        attempt(folder, cause, name)
        assert goes_on(folder)
    attempt(folder, cause, "epoch_1.pth")
    assert goes_on(folder)
    assert [a.exit["saved"] for a in folder.attempts] == [False] * 3 + [True, False, False, True]


def test_attempts_of_before_this_was_recorded_are_not_held_against_a_run(tmp_path):
    folder = planned(tmp_path / "runs")
    for _ in range(5):
        attempt(folder, "timeout")
    for made in folder.attempts:
        old = {key: value for key, value in made.exit.items() if key != "saved"}
        write_json(made.path / "exit.json", old)
    assert goes_on(folder)
