"""When another attempt at a run is due without anybody asking for it.

What an attempt ended by decides. A cause that lies outside the run may be gone the next time, so
the run is tried again, each cause up to its own limit: what comes back every time is no accident.
An error of the training itself, or a model that does not fit its GPU, comes back for certain and is
left to the user.

=============  ==================================================  ================
cause          what happened                                       attempts after it
=============  ==================================================  ================
preempted      told to stop, to make room for somebody else        without limit
timeout        the time limit; the next goes on from a checkpoint  20
node failure   the host went down, or did not come up              5
oom host       the memory granted on the host was not enough       3
lost           nobody saw it end, and it is gone                   3
killed         by a signal: SIGKILL, a segmentation fault          2
failed         the training raised an error                        none
oom            out of memory, as the training itself says          none
cancelled      the user asked for it                               none
=============  ==================================================  ================
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["LIMITS", "cause_of", "may_retry"]

LIMITS: Mapping[str, float] = {
    "preempted": math.inf,
    "timeout": 20,
    "node failure": 5,
    "oom host": 3,
    "lost": 3,
    "killed": 2,
}
"""How many attempts that ended so are followed by another. A cause that is not here: none."""

SCHEDULER_CAUSES = {
    "BOOT_FAIL": "node failure",
    "CANCELLED": "cancelled",
    "DEADLINE": "timeout",
    "NODE_FAIL": "node failure",
    "OUT_OF_MEMORY": "oom host",
    "PREEMPTED": "preempted",
    "TIMEOUT": "timeout",
}
"""What Slurm's states say that the worker cannot know; the others leave it to the worker."""


def cause_of(ending: Mapping[str, Any]) -> str:
    """Return why an attempt ended, in the words of the table above.

    Parameters
    ----------
    ending: mapping
        Its ``exit.json``, empty if there is none. Under ``scheduler`` the state in which a
        scheduler saw it end, which outranks ``cause``: of a worker that is told to stop only the
        scheduler knows why, and one whose helper process ran out of memory takes that for an error.
    """
    # sacct writes "CANCELLED by 1000".
    state = str(ending.get("scheduler") or "").partition(" ")[0]
    if state in SCHEDULER_CAUSES:
        return SCHEDULER_CAUSES[state]
    cause = str(ending.get("cause") or "lost")
    # Who is killed leaves no record, and whoever writes it instead gives the signal's number,
    # negative. A worker that itself says so was asked to end by the user.
    return "cancelled" if cause == "killed" and ending.get("code", -1) > 0 else cause


def may_retry(endings: Sequence[Mapping[str, Any]], limits: Mapping[str, float] = LIMITS) -> bool:
    """Whether another attempt is due without anybody asking for it.

    Parameters
    ----------
    endings: sequence of mapping
        How the attempts that count ended, the newest last; see `cause_of`.
    limits: mapping of str to float, optional
        Attempts by cause, as in `LIMITS`.

    Returns
    -------
    bool
        True unless the newest attempt ended by a cause whose limit is exceeded. Other causes before
        it do not count: a run that was preempted ten times may still be killed twice.
    """
    if not endings:
        return True
    causes = [cause_of(ending) for ending in endings]
    return causes.count(causes[-1]) <= limits.get(causes[-1], 0)
