"""Ending runs from outside, so that their record says who did it."""

from __future__ import annotations

import getpass
import os
import signal
import socket
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

if TYPE_CHECKING:
    from study.launch.slurm.batch import Batch
    from study.launch.slurm.queue import Queue

__all__ = ["cancel"]

IDS_A_CALL = 200


def cancel(folders: Sequence[RunFolder], queue: Queue | None) -> Iterator[str]:
    """Ask runs that are queued or running to end; yields what becomes of them, in sentences.

    Parameters
    ----------
    folders: sequence of RunFolder
        The runs.
    queue: Queue, optional
        What the scheduler said of them.
    """
    user, jobs = getpass.getuser(), defaultdict[str, list[Attempt]](list)
    ended = 0
    for folder in folders:
        if (attempt := folder.newest) is None:
            continue
        task = queue.task(attempt) if queue else None
        if attempt.by_slurm and task is None:
            attempt.cancel(user)
            yield f"{folder.path.name}: the scheduler does not show its job; if it begins, it ends"
        elif attempt.by_slurm and task is not None:
            jobs[task.job].append(attempt)
        else:
            told = _local(attempt, user)
            ended += not told
            if told:
                yield f"{folder.path.name}: {told}"
    if ended:
        yield f"{ended} runs are told to end"
    if jobs:
        yield from _slurm(jobs, user)


def _local(attempt: Attempt, user: str) -> str:
    """Tell a process of this host; what prevents it, if something does."""
    record = attempt.submission or {}
    if record.get("host") != socket.gethostname():
        return f"process {record.get('pid')} is on {record.get('host')}: cancel it there"
    attempt.cancel(user)
    try:
        os.kill(int(record["pid"]), signal.SIGTERM)
    except ProcessLookupError:
        return "it has just ended"
    return ""


def _slurm(jobs: dict[str, list[Attempt]], user: str) -> Iterator[str]:
    from study.launch.slurm.batch import batch_of
    from study.launch.slurm.command import Refused, Unreachable, call

    whole, ended = [], 0
    for job, attempts in jobs.items():
        for attempt in attempts:
            attempt.cancel(user)
        # Runs that share a job with others are ended by the job itself, which sees the record.
        if len(attempts) >= _at_work(batch_of(attempts[0]), int(job.partition("_")[2])):
            whole.append(job)
        else:
            ended += len(attempts)
    for start in range(0, len(whole), IDS_A_CALL):
        part = whole[start : start + IDS_A_CALL]
        try:
            call("scancel", *part)
        except (Unreachable, Refused) as error:
            yield f"scancel of {len(part)} jobs: {error}; what begins meanwhile ends by itself"
            continue
        for attempt in (attempt for job in part for attempt in jobs[job]):
            ended += 1
            if attempt.start is None:
                attempt.write_off("killed", f"cancelled by {user}", scheduler="CANCELLED")
    if ended:
        yield f"{ended} runs of jobs are told to end"


def _at_work(batch: Batch, index: int) -> int:
    """Return how many runs a task of a batch still has to end, begun or not."""
    newest = [run.newest for run in batch.cells(index)]
    return sum(
        attempt is not None
        and attempt.exit is None
        and (attempt.submission or {}).get("token") == batch.token
        for attempt in newest
    )
