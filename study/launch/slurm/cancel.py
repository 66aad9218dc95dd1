"""Ending jobs, or some of the runs that share one."""

from __future__ import annotations

import getpass
from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from study.launch.jobs import Jobs
from study.launch.slurm.batch import Batch, batch_of
from study.launch.slurm.command import Refused, Unreachable, call
from study.launch.slurm.indices import write
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

__all__ = ["cancel"]

ARRAYS_A_CALL = 50

WRITERS = 32
"""Records written at a time: each waits for its disk, and thousands would do so for minutes."""

_Members = dict[str, list[Attempt]]


def cancel(attempts: Sequence[Attempt], said: Jobs) -> Generator[str, None, bool]:
    """See `study.launch.protocol.Launcher.cancel`."""
    user, failed = getpass.getuser(), not said.answered and bool(said.trouble)
    batches = defaultdict[Batch, _Members](dict)
    with ThreadPoolExecutor(WRITERS) as pool:
        # The jobs heed this record, whether or not scancel reaches them.
        [*pool.map(lambda attempt: attempt.cancel(user), attempts)]
    for attempt in attempts:
        if (task := said.job(attempt)) is None:
            name = attempt.path.parents[1].name
            yield f"{name}: the scheduler does not show its job; if it begins, it ends"
        else:
            batches[batch_of(attempt)].setdefault(task.job, []).append(attempt)
    ended, whole = 0, _Members()
    for batch, jobs in batches.items():
        tasks = batch.record["tasks"]
        for job, members in jobs.items():
            # A job that also has runs which go on ends the others by itself.
            if len(members) >= _at_work(batch, tasks[int(job.partition("_")[2])]):
                whole[job] = members
            else:
                ended += len(members)
    arrays = defaultdict[str, list[int]](list)
    for job in whole:
        array, _, index = job.partition("_")
        arrays[array].append(int(index))
    names, told = [*arrays], list[Attempt]()
    for start in range(0, len(names), ARRAYS_A_CALL):
        part = names[start : start + ARRAYS_A_CALL]
        for array, trouble in _scancel({array: arrays[array] for array in part}).items():
            if trouble:
                failed = True
                count = len(arrays[array])
                yield f"scancel of {count} jobs: {trouble}; what begins meanwhile ends by itself"
                continue
            told += [a for index in arrays[array] for a in whole[f"{array}_{index}"]]
    ended += len(told)
    with ThreadPoolExecutor(WRITERS) as pool:
        waiting = [attempt for attempt in told if attempt.start is None]
        why = f"cancelled by {user}"
        [*pool.map(lambda a: a.write_off("killed", why, scheduler="CANCELLED"), waiting)]
    if ended:
        yield f"{ended} runs of jobs are told to end"
    return failed


def _scancel(arrays: Mapping[str, Sequence[int]]) -> dict[str, str]:
    """Cancel tasks in one call; return what prevents that, by array, empty where nothing does."""
    try:
        call("scancel", *(f"{array}_[{write(tasks)}]" for array, tasks in arrays.items()))
    except Unreachable as error:
        return dict.fromkeys(arrays, str(error))
    except Refused as error:
        if len(arrays) == 1:
            return dict.fromkeys(arrays, str(error))
        # It does not say which: one of them may be a colleague's.
        return {a: told for a, tasks in arrays.items() for told in _scancel({a: tasks}).values()}
    return dict.fromkeys(arrays, "")


def _at_work(batch: Batch, cells: Sequence[tuple[str, int]]) -> int:
    """Return how many runs of a task still have to end, begun or not; 1 if it has no others."""
    if len(cells) == 1:
        return 1
    newest = [RunFolder(batch.root / name).newest for name, _ in cells]
    return sum(
        attempt is not None
        and attempt.exit is None
        and (attempt.submission or {}).get("token") == batch.token
        for attempt in newest
    )
