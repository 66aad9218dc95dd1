"""Warm workers: forked from a process that has imported their framework already.

Not ``multiprocessing``'s fork server: there is one of it in a process, so that all tasks would
share one interpreter and its registries; when it dies its living children count as ended; and an
import that fails is passed over in silence.
"""

from __future__ import annotations

import contextlib
import signal
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from study.worker.child import Child, ChildFailed

__all__ = ["AnswerLost", "Nurseries", "Nursery", "NurseryDied", "WarmProcess"]

ANSWER_SECONDS = 30.0
"""A nursery answers in milliseconds; one that does not was stopped, or its host is swapping."""

NURSERY_LIVES = 3
"""Nurseries of one task that may die before its workers start from scratch."""


class NurseryDied(Exception):
    """The process that forks the workers is gone. Those it has forked live on."""


class AnswerLost(NurseryDied):
    """It ended with a request on its way: nobody knows whether it had done what it was told."""


class Nursery:
    """The launcher's side of :mod:`study.worker.nursery`.

    Parameters
    ----------
    task: str
        Whose framework to import.
    environment: mapping of str to str
        Variables of the process and its workers; libraries read some only when they load.
    """

    def __init__(self, task: str, environment: Mapping[str, str]) -> None:
        self.task = task
        self.obstacle: str | None = None
        self.settled = False  # whether it is known if workers can be forked
        self.alive = True
        # Torch asks the driver for GPUs with a call that leaves no context behind.
        told = {**environment, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"}
        self._child = Child("study.worker.nursery:serve", told)
        self._child.tell(task)

    @property
    def pid(self) -> int:
        """The nursery's own process."""
        return self._child.pid

    def imported(self) -> bool:
        """Whether the import is over; from then on `obstacle` is why nothing can be forked."""
        if not self.settled:
            try:
                self.obstacle = self._child.hear(0)
            except TimeoutError:
                return False
            except ChildFailed:
                self.obstacle = self._ended()
            self.settled = True
            if self.obstacle is not None:
                self.close()
        return self.settled

    def fork(
        self, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> WarmProcess:
        """Start ``study.worker`` with `arguments`, in a process group of its own.

        Parameters
        ----------
        arguments: sequence of str
            As on the command line.
        folder: Path
            Gets ``stdout`` and ``stderr``.
        environment: mapping of str to str
            Variables that are this worker's alone.

        Raises
        ------
        NurseryDied
            No worker was started; if it is an `AnswerLost`, perhaps one was.
        """
        request = {
            "arguments": list(arguments),
            "stdout": str(folder / "stdout"),
            "stderr": str(folder / "stderr"),
            "environment": dict(environment),
        }
        return WarmProcess(self, self._ask(request))

    def poll(self, pid: int) -> int | None:
        """Return the exit code of a worker, None while it lives; `NurseryDied` if nobody knows."""
        return self._ask({"poll": pid})

    def close(self) -> int:
        """End the nursery; return its exit code. Workers go on, but nobody hears of theirs."""
        self.alive = False
        return self._child.end(grace=0)  # it has nothing to leave in order

    def _ask(self, request: dict[str, Any]) -> Any:
        if not self.alive or not self._child.tell(request):
            self.close()
            raise NurseryDied(f"the nursery of {self.task} has ended")
        try:
            return self._child.hear(ANSWER_SECONDS)
        except (ChildFailed, TimeoutError):
            raise AnswerLost(self._ended()) from None

    def _ended(self) -> str:
        return f"the nursery of {self.task} ended with {self.close()}"


class WarmProcess:
    """A forked worker, with as much of the interface of ``subprocess.Popen`` as a launcher uses."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self.pid = pid
        self._nursery = nursery
        self._code: int | None = None
        # The nursery keeps a worker that has ended as a zombie until it is polled. So it can be
        # gone only if the nursery is.
        self._process: psutil.Process | None = None
        with contextlib.suppress(psutil.NoSuchProcess):
            self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal; None while it lives.

        If the nursery died nobody learns the code. A worker then counts as killed: any other end
        it records itself.
        """
        if self._code is None:
            try:
                self._code = self._nursery.poll(self.pid)
            except NurseryDied:
                self._code = None if self._lives() else -int(signal.SIGKILL)
        return self._code

    def _lives(self) -> bool:
        if self._process is None or not self._process.is_running():  # or its number is another's
            return False
        try:
            return self._process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class Nurseries:
    """The nurseries of a launcher, one a task while there are attempts to start.

    Parameters
    ----------
    environment: mapping of str to str
        Of all their processes.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self._open: dict[str, Nursery] = {}
        self._deaths: Counter[str] = Counter()

    def __enter__(self) -> Nurseries:
        return self

    def __exit__(self, *error: object) -> None:
        self.keep(())

    def keep(self, tasks: Iterable[str]) -> None:
        """Start what is missing for `tasks`, and end the others."""
        wanted = set(tasks)
        for task in set(self._open) - wanted:
            self._open.pop(task).close()
        for task in wanted:
            nursery = self._open.get(task)
            if nursery is not None:
                if nursery.alive or nursery.obstacle is not None:
                    continue
                self._deaths[task] += 1
                nursery.obstacle = f"{self._deaths[task]} nurseries died"
            if self._deaths[task] < NURSERY_LIVES:
                self._open[task] = Nursery(task, self.environment)

    def settled(self, task: str) -> bool:
        """Whether a worker of `task` can be started, warm or cold."""
        return task in self._open and self._open[task].imported()

    def fork(
        self, task: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str]
    ) -> WarmProcess | None:
        """Start a warm worker, as :meth:`Nursery.fork`; None where it must be started cold.

        Raises
        ------
        AnswerLost
            The worker may have been started or not.
        """
        nursery = self._open[task]
        if nursery.obstacle is not None:
            return None
        try:
            return nursery.fork(arguments, folder, environment)
        except AnswerLost:
            raise
        except NurseryDied:
            return None
