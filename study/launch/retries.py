"""When another attempt at a run is due without anybody asking for it.

The cause of an attempt's end decides. A cause outside the run may be gone the next time, so the
run is tried again, up to a limit for each cause: what comes back every time is no accident. An
error of the training itself, or a model that does not fit its GPU, is certain to come back. It is
left to the user.

Where `STALLS` attempts in a row are told to stop, by a time limit or to make room, and none leaves
a newer checkpoint than it began with, no other follows: it would do the same again.

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

__all__ = ["LIMITS", "STALLS", "cause_of", "may_retry", "stalls"]

LIMITS: Mapping[str, float] = {
    "preempted": math.inf,
    "timeout": 20,
    "node failure": 5,
    "oom host": 3,
    "lost": 3,
    "killed": 2,
}
"""How many attempts that ended so are followed by another. A cause that is not here: none."""

STALLS = 3
"""How many attempts in a row may be told to stop before they have left a newer checkpoint."""

STOPPED = ("preempted", "timeout")

NO_WORDS: Mapping[str, str] = {}


def cause_of(ending: Mapping[str, Any], words: Mapping[str, str] = NO_WORDS) -> str:
    """Return why an attempt ended, in the words of the table above.

    Parameters
    ----------
    ending: mapping
        Its ``exit.json``, empty if there is none. Under ``scheduler`` the state in which a
        scheduler saw it end.
    words: mapping of str to str, optional
        What that scheduler's states mean, where they say more than a worker can know. These outrank
        ``cause``: only the scheduler knows why it told a worker to stop, and a worker whose helper
        process was killed for want of memory takes that for an error.
    """
    # Some add to the state, as in "CANCELLED by 1000".
    state = str(ending.get("scheduler") or "")
    for word in (state, state.partition(" ")[0]):
        if word in words:
            return words[word]
    cause = str(ending.get("cause") or "lost")
    # A process that is killed leaves no record, and the one written in its place has the signal's
    # number, negative. A worker that records "killed" itself was asked to end by the user.
    return "cancelled" if cause == "killed" and ending.get("code", -1) > 0 else cause


def may_retry(causes: Sequence[str], limits: Mapping[str, float] = LIMITS) -> bool:
    """Whether another attempt is due without anybody asking for it.

    Parameters
    ----------
    causes: sequence of str
        Why the attempts that count ended, the newest last; see `cause_of`.
    limits: mapping of str to float, optional
        Attempts by cause, as in `LIMITS`.

    Returns
    -------
    bool
        True unless the newest attempt ended by a cause whose limit is exceeded. Other causes before
        it do not count: a run that was preempted ten times may still be killed twice.
    """
    return not causes or causes.count(causes[-1]) <= limits.get(causes[-1], 0)


def stalls(causes: Sequence[str], saved: Sequence[bool]) -> int:
    """Count the attempts that were told to stop since the last one that left a newer checkpoint.

    0 unless the newest was told to stop.

    Parameters
    ----------
    causes: sequence of str
        Why the attempts ended, the newest last.
    saved: sequence of bool
        Whether each left a checkpoint that is newer than its beginning.
    """
    if not causes or causes[-1] not in STOPPED:
        return 0
    count = 0
    for cause, kept in zip(reversed(causes), reversed(saved), strict=True):
        if kept:
            break
        count += cause in STOPPED
    return count
