"""Which ends of an attempt are followed by another one."""

import pytest

from study.launch.retries import LIMITS, cause_of, may_retry
from study.launch.slurm.words import WORDS


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
