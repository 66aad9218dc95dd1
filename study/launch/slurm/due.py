"""Which runs are to be submitted, judged by how their attempts ended."""

from __future__ import annotations

from typing import Any

from study.launch.retries import cause_of, may_retry
from study.launch.slurm.profile import Profile
from study.launch.slurm.queue import Queue, is_open
from study.runs.attempt import cancelled_by
from study.runs.folder import SETTLED, RunFolder

__all__ = ["due", "endings"]


def due(run: RunFolder, state: str, queue: Queue | None, profile: Profile) -> bool:
    """Whether a run is to be submitted without anybody naming it: it is planned, or may be retried.

    One that lacked memory may be if `profile` has more for it.

    Parameters
    ----------
    run: RunFolder
        The run.
    state: str
        Its condition.
    queue: Queue, optional
        What the scheduler said of it.
    profile: Profile
        What it would be given.
    """
    if state == "planned":
        return True
    if state in SETTLED:
        return False
    if newest := run.newest:
        # While nobody answers, what may be in the queue again is left alone.
        unknown = is_open(newest) and not (queue and queue.answered)
        if unknown or cancelled_by(newest):
            return False
    ended = endings(run, state, queue)
    causes = [cause_of(ending) for ending in ended]
    if causes[-1] == "oom host":
        short = causes.count("oom host")
        if profile.memory(short) == profile.memory(short - 1):
            return False
    return may_retry(ended)


def endings(run: RunFolder, state: str, queue: Queue | None) -> list[dict[str, Any]]:
    """Return how the attempts at a run that is in `state` ended, as records or scheduler say."""
    attempts = run.attempts
    found = [attempt.ending for attempt in attempts]
    if found:
        found[-1] = {"cause": state, **found[-1]}
        if queue and (word := queue.word(attempts[-1])):
            found[-1].setdefault("scheduler", word)
    return found
