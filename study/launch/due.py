"""Which runs are to be submitted, judged by how their attempts ended, and the claim on one."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from study.launch.answers import cause
from study.launch.jobs import Answers
from study.launch.protocol import Profile
from study.launch.retries import LIMITS, STALLS, may_retry, stalls
from study.runs.attempt import Attempt, cancelled_by
from study.runs.folder import SETTLED, RunFolder

__all__ = ["causes", "claim", "due", "goes_on", "settle", "why_not"]


def due(
    run: RunFolder,
    state: str,
    said: Answers,
    profile: Profile,
    forgiven: Collection[int] = (),
) -> bool:
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
    forgiven: collection of int
        The attempts that do not count; see `study.launch.nodes`.
    """
    if state == "planned":
        return True
    if state in SETTLED:
        return False
    if newest := run.newest:
        jobs = said.of(newest)
        # If nobody answers, its job may be in the queue again: then it is left alone.
        if jobs.open(newest) and not jobs.answered:
            return False
    ended = causes(run, state, said)
    if ended[-1] == "oom host":
        short = ended.count("oom host")
        if profile.memory(short) == profile.memory(short - 1):
            return False
    return not why_not(run, state, said, forgiven)


def why_not(run: RunFolder, state: str, said: Answers, forgiven: Collection[int] = ()) -> str:
    """Say why no other attempt follows by itself at a run that ended; empty if one does.

    Parameters are those of `due`.
    """
    if (newest := run.newest) is not None and (who := cancelled_by(newest)):
        return f"cancelled by {who}"
    return _why_final(run.attempts, causes(run, state, said), forgiven)


def goes_on(run: RunFolder) -> bool:
    """Whether another attempt follows by what the records say, which is all that a job asks."""
    attempts = run.attempts
    return not _why_final(attempts, [cause(attempt) for attempt in attempts], ())


def _why_final(attempts: Sequence[Attempt], ended: Sequence[str], forgiven: Collection[int]) -> str:
    counted = [at for at, attempt in enumerate(attempts) if attempt.n not in forgiven]
    why = [ended[at] for at in counted]
    if not why:
        return ""
    saved = [attempts[at].saved for at in counted]
    if (count := stalls(why, saved)) >= STALLS:
        return (
            f"{count} attempts were told to stop ({why[-1]}) before they had left a checkpoint:"
            " give them a longer time, or let them save more often"
        )
    if may_retry(why):
        return ""
    if why[-1] in LIMITS:
        return (
            f"{why.count(why[-1])} attempts ended so ({why[-1]}), which is as often as it is tried"
        )
    return {"cancelled": "cancelled, as Slurm says"}.get(
        why[-1], f"it would come again ({why[-1]})"
    )


def causes(run: RunFolder, state: str, said: Answers) -> list[str]:
    """Return why the attempts at a run in `state` ended, as their records or schedulers say."""
    attempts = run.attempts
    endings = [attempt.ending for attempt in attempts]
    if attempts:
        newest = attempts[-1]
        endings[-1] = {"cause": state, **endings[-1]}
        if word := said.of(newest).word(newest):
            told = {**endings[-1], "scheduler": word}
            # Recorded is why it was told to stop; its job may have been cancelled since.
            if "scheduler" not in endings[-1] or cause(newest, told) == "cancelled":
                endings[-1] = told
    return [cause(attempt, ending) for attempt, ending in zip(attempts, endings, strict=True)]


def claim(run: RunFolder, said: Answers) -> Attempt | None:
    """Take the next attempt at a run, and record what is known of the end of the one before.

    None if the run is done, in a queue, or in somebody's hands.
    """
    return run.claim() if settle(run, said) else None


def settle(run: RunFolder, said: Answers) -> bool:
    """Record how a job ended that executed the newest attempt, as its scheduler says.

    False if the run is done, or the job goes on.
    """
    if (before := run.newest) is None or not before.by_job:
        return True
    state = run.condition(said.state)
    return state not in SETTLED and said.of(before).settle(before, state)
