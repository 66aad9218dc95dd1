"""Which runs are to be submitted, judged by how their attempts ended, and the claim on one."""

from __future__ import annotations

from study.launch.answers import cause
from study.launch.jobs import Answers
from study.launch.protocol import Profile
from study.launch.retries import may_retry
from study.runs.attempt import Attempt, cancelled_by
from study.runs.folder import SETTLED, RunFolder

__all__ = ["causes", "claim", "due"]


def due(run: RunFolder, state: str, said: Answers, profile: Profile) -> bool:
    """Whether to submit a run that nobody named: it is planned, or may be retried.

    A run that lacked memory may be retried if `profile` has more for it.

    Parameters
    ----------
    run: RunFolder
        The run.
    state: str
        Its condition.
    said: Answers
        What the launchers said of it.
    profile: Profile
        What it would be given.
    """
    if state == "planned":
        return True
    if state in SETTLED:
        return False
    if newest := run.newest:
        jobs = said.of(newest)
        # If nobody answers, its job may be in the queue again: then it is left alone.
        if cancelled_by(newest) or (jobs.open(newest) and not jobs.answered):
            return False
    ended = causes(run, state, said)
    if ended[-1] == "oom host":
        short = ended.count("oom host")
        if profile.memory(short) == profile.memory(short - 1):
            return False
    return may_retry(ended)


def causes(run: RunFolder, state: str, said: Answers) -> list[str]:
    """Return why the attempts at a run in `state` ended, as their records or schedulers say."""
    attempts = run.attempts
    endings = [attempt.ending for attempt in attempts]
    if attempts:
        newest = attempts[-1]
        endings[-1] = {"cause": state, **endings[-1]}
        if word := said.of(newest).word(newest):
            endings[-1].setdefault("scheduler", word)
    return [cause(attempt, ending) for attempt, ending in zip(attempts, endings, strict=True)]


def claim(run: RunFolder, said: Answers) -> Attempt | None:
    """Take the next attempt at a run, and record what is known of the end of the one before.

    None if the run is done, in a queue, or in somebody's hands.
    """
    if (before := run.newest) is not None and before.by_job:
        state = run.condition(said.state)
        if state in SETTLED or not said.of(before).settle(before, state):
            return None
    return run.claim()
