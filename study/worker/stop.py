"""How a worker is told to stop: by a signal, which its plugin heeds between two steps."""

from __future__ import annotations

import os
import signal
import statistics
import threading
import time
from collections import deque
from itertools import pairwise
from typing import Any

from plugins.contracts.job import Stopped

__all__ = ["Stop"]

CAUSE_OF_SIGNAL = {
    signal.SIGTERM: "preempted",
    signal.SIGINT: "preempted",  # a shell may have told its background jobs to ignore it
    signal.SIGUSR2: "timeout",
}

STOP_SECONDS = 10.0
"""From the signal to the end at the latest, where steps are short. A scheduler must wait longer
before it kills."""

STEPS = 20  # whose durations count
STEP_FACTOR = 3.0
"""By so much a step may be longer than the usual one. An evaluation is, and is not waited for."""

PEERS_SECONDS = 2.0
"""Within this time all processes that train a run together get the signal to stop."""


class Stop:
    """Turns a signal into a wish, and the wish into an exception where nobody heeds it.

    A plugin that asks `wanted` between its steps leaves a checkpoint first. One that never asked,
    or does not ask again for `STOP_SECONDS` and `STEP_FACTOR` times its usual step, is interrupted
    where it is.

    Parameters
    ----------
    rank, world: int
        Which of how many processes this is.
    """

    def __init__(self, rank: int, world: int) -> None:
        self.rank, self.world, self.number, self.asked = rank, world, 0, False
        self._questions: deque[float] = deque(maxlen=STEPS + 1)

    @property
    def cause(self) -> str:
        """What ended a run that was told to stop."""
        return CAUSE_OF_SIGNAL.get(signal.Signals(self.number or signal.SIGTERM), "preempted")

    def watch(self) -> None:
        """Listen from now on."""
        for number in CAUSE_OF_SIGNAL:
            signal.signal(number, self._told)
        signal.signal(signal.SIGALRM, self._interrupt)
        os.register_at_fork(after_in_child=_obey_the_parent)

    def ignore(self) -> None:
        """Listen no more: the record comes first."""
        for number in (*CAUSE_OF_SIGNAL, signal.SIGALRM):
            signal.signal(number, signal.SIG_IGN)

    def wanted(self) -> bool:
        """Whether to leave a checkpoint and raise `Stopped`."""
        self.asked = True
        self._questions.append(time.monotonic())
        # Only the first of several processes saves. The others go on until it has: it may need
        # them for its last step.
        heeded = bool(self.number) and self.rank == 0
        if heeded:
            signal.setitimer(signal.ITIMER_REAL, 0)  # a checkpoint may take its time
        return heeded

    def explains_error(self) -> bool:
        """Whether an error may come of a stop: of this process, or of those that it trains with.

        A process that stops leaves the others, whose next common step fails. Their own signal may
        come a moment later.
        """
        if not self.number and self.world > 1:
            self.asked = True  # from here on the signal interrupts nothing
            time.sleep(PEERS_SECONDS)
        return bool(self.number)

    def _told(self, number: int, frame: Any) -> None:
        if self.number:
            return  # the same wish again, from the scheduler and from the launcher
        self.number = number
        if not self.asked:
            raise Stopped
        at = [*self._questions]
        steps = [after - before for before, after in pairwise(at)]
        usual = statistics.median(steps) if steps else 0.0
        signal.setitimer(signal.ITIMER_REAL, max(STOP_SECONDS, STEP_FACTOR * usual))

    def _interrupt(self, number: int, frame: Any) -> None:
        raise Stopped


def _obey_the_parent() -> None:
    """Let a process that loads data live until its parent, which trains, needs it no more.

    A terminal signals a whole group of processes, and a scheduler may signal all of a job. Without
    its data the training could not reach the end of its step, after which it saves. The signals are
    blocked and not ignored, since torch's data loaders set a handler of their own; a thread takes
    them and heeds the parent's, who ends its loaders by SIGTERM.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, CAUSE_OF_SIGNAL)
    parent = os.getppid()

    def heed() -> None:
        while signal.sigwaitinfo(CAUSE_OF_SIGNAL).si_pid != parent:
            if os.getppid() != parent:
                break  # it trains no more
        os._exit(0)

    threading.Thread(target=heed, daemon=True).start()
