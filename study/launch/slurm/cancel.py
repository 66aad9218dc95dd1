"""Ending jobs, or some of the runs that share one."""

from __future__ import annotations

import getpass
from collections import defaultdict
from collections.abc import Iterator, Sequence

from study.launch.jobs import Jobs
from study.launch.slurm.batch import Batch, batch_of
from study.launch.slurm.command import Refused, Unreachable, call
from study.runs.attempt import Attempt

__all__ = ["cancel"]

IDS_A_CALL = 200


def cancel(attempts: Sequence[Attempt], said: Jobs) -> Iterator[str]:
    """See `study.launch.protocol.Launcher.cancel`."""
    user, jobs = getpass.getuser(), defaultdict[str, list[Attempt]](list)
    for attempt in attempts:
        # The job heeds this record, whether or not scancel reaches it.
        attempt.cancel(user)
        if (task := said.job(attempt)) is None:
            name = attempt.path.parents[1].name
            yield f"{name}: the scheduler does not show its job; if it begins, it ends"
        else:
            jobs[task.job].append(attempt)
    whole, ended = [], 0
    for job, members in jobs.items():
        # A job that also has runs which go on ends the others by itself.
        if len(members) >= _at_work(batch_of(members[0]), int(job.partition("_")[2])):
            whole.append(job)
        else:
            ended += len(members)
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
