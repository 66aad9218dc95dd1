"""Runs on this machine, a given number at a time, each in a worker process of its own.

The workers are warm: forked from a process that has imported their framework, one a task. Where
that cannot be had (see :mod:`study.worker.nursery`) they start from scratch, more slowly and with
the same results.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from study.environment import child_environment
from study.errors import StudyError
from study.launch.due import settle
from study.launch.gpus import visible_gpus
from study.launch.jobs import Answers
from study.launch.local.stopflag import StopFlag
from study.launch.protocol import find_launcher, launcher_names
from study.launch.retries import LIMITS, cause_of, may_retry
from study.runs.attempt import Attempt, cancelled_by
from study.runs.folder import SETTLED, RunFolder
from study.runs.provenance import MORE_VARIABLES, cores
from study.worker.warm import AnswerLost, Nurseries

__all__ = ["Slots"]

POLL_SECONDS = 0.2
TOLD_SECONDS = 2.0  # until the user reads what a stop waits for
PATIENCE_SECONDS = 600.0
"""For which a worker may end its step and save. One that is stuck does not end by itself."""

RETRIED = {"killed": LIMITS["killed"]}
"""What is tried again here. A user who tells a single worker to end means it."""

THREADLESS = {"OPENBLAS_NUM_THREADS": "1", "JE_ARROW_MALLOC_CONF": "background_thread:false"}
"""numpy's OpenBLAS, which is not torch's, and Arrow's allocator, which comes with pandas, start
threads when they load, after which no process can be forked safely."""


class _Process(Protocol):
    """A worker process, warm or cold."""

    pid: int

    def poll(self) -> int | None:
        """Return the exit code, or the negative number of the signal; None while it lives."""


@dataclass
class _Worker:
    slot: int
    task: str
    folder: RunFolder
    attempt: Attempt
    process: _Process
    started: float


@dataclass
class Slots:
    """Carries out runs on this machine, so many at a time.

    Parameters
    ----------
    slots: int
        Runs at a time. The cores are divided among them: two trainings with two threads each on two
        cores can be many times slower than with one each.
    gpus: list of str
        GPU names to hand out to the slots in turn; empty for the CPU.

    Attributes
    ----------
    unrecorded: list of str
        Runs whose end could not be written down, and why.
    """

    slots: int
    gpus: list[str] = field(default_factory=visible_gpus)
    unrecorded: list[str] = field(default_factory=list, init=False)

    @property
    def threads(self) -> int:
        """Threads a slot."""
        return max(1, cores() // self.slots)

    @property
    def environment(self) -> dict[str, str]:
        """Variables of all workers."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads))
        # `study run` may itself be a job of some scheduler.
        more = [name for each in launcher_names() for name in find_launcher(each).variables]
        own = {**threads, **THREADLESS, MORE_VARIABLES: " ".join(more)}
        if self.gpus and "CUDA_VISIBLE_DEVICES" not in os.environ:
            own["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # the order in which nvidia-smi counts
        return child_environment(own)

    def run(
        self,
        folders: Sequence[RunFolder],
        refresh: Callable[[], object],
        tell: Callable[[str], object] = print,
        said: Answers | None = None,
    ) -> bool:
        """Carry out the runs; True unless the user stopped before the end.

        A run that fails does not stop the others. A run that is killed, for instance by the kernel
        for want of memory, is put back at the end as often as `RETRIED` says. SIGINT, SIGTERM and
        SIGHUP stop everything: workers are told to end and leave their checkpoints. A second SIGINT
        or SIGTERM kills them.

        Parameters
        ----------
        folders: sequence of RunFolder
            In the order in which to start them. One that another process works on is left to it.
        refresh: callable
            Called about five times a second, to show progress.
        tell: callable
            Called with what a stop waits for, if it does, and runs that are left to their jobs.
        said: Answers, optional
            What the launchers have just said of the newest attempts, if jobs executed these.

        Raises
        ------
        StudyError
            At the end, if the end of a run could not be recorded.
        """
        waiting = []
        for folder in folders:
            if settle(folder, said or Answers()):
                waiting.append((folder, _task(folder)))
            else:
                tell(f"{folder.path.name} is left alone: it is done by now, or its job goes on")
        workers: list[_Worker] = []
        causes: dict[Path, list[str]] = {}
        stop = StopFlag()
        with stop, Nurseries(self.environment) as nurseries:
            try:
                while (waiting or workers) and not stop.wanted:
                    nurseries.keep(
                        [task for _, task in waiting[: self.slots]] + [w.task for w in workers]
                    )
                    ended = self._fill(waiting, workers, nurseries)
                    for worker in [worker for worker in workers if self._ended(worker)]:
                        workers.remove(worker)
                        ended.append((worker.folder, worker.task, worker.attempt))
                    for folder, task, attempt in ended:
                        before = causes.setdefault(folder.path, [])
                        before.append(cause_of(Attempt.read(attempt.path).exit or {}))
                        if may_retry(before, RETRIED) and not cancelled_by(attempt):
                            waiting.append((folder, task))
                    refresh()
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop(workers, stop, tell)
        refresh()
        if self.unrecorded:
            raise StudyError("\n".join(["the end of a run was not recorded:", *self.unrecorded]))
        return not stop.wanted

    def _fill(
        self,
        waiting: list[tuple[RunFolder, str]],
        workers: list[_Worker],
        nurseries: Nurseries,
    ) -> list[tuple[RunFolder, str, Attempt]]:
        """Start workers in the free slots; return attempts of which no worker is known to work."""
        lost = []
        free = [slot for slot in range(self.slots) if slot not in {w.slot for w in workers}]
        for folder, task in waiting[: self.slots]:
            if not free:
                break
            if not nurseries.settled(task):
                continue
            waiting.remove((folder, task))
            # Another process may have begun it since the caller looked, perhaps on a host whose
            # processes the claim cannot see.
            if folder.condition() in SETTLED or (attempt := folder.claim()) is None:
                continue
            try:
                workers.append(self._start(free[0], task, folder, attempt, nurseries))
                free.pop(0)
            except AnswerLost as error:
                # A worker may have been started nevertheless; the next attempt makes it stop.
                self._record(attempt, "killed", -signal.SIGKILL, time.time(), str(error))
                lost.append((folder, task, attempt))
        return lost

    def _start(
        self, slot: int, task: str, folder: RunFolder, attempt: Attempt, nurseries: Nurseries
    ) -> _Worker:
        device, own = "cpu", {}
        if self.gpus:
            device, own = "cuda", {"CUDA_VISIBLE_DEVICES": self.gpus[slot % len(self.gpus)]}
        arguments = [str(folder.path), str(attempt.n), "--device", device]
        command = [sys.executable, "-P", "-m", "study.worker", *arguments]
        process: _Process | None = nurseries.fork(task, arguments, attempt.path, own)
        warm = process is not None
        if process is None:
            process = _start_cold(command, attempt, self.environment | own)
        started = time.time()
        try:
            attempt.submit("local", process.pid, slots=self.slots, command=command, warm=warm)
        except OSError:  # of a worker that no record knows nobody would ever hear
            _kill_group(process)
            raise
        return _Worker(slot, task, folder, attempt, process, started)

    def _ended(self, worker: _Worker) -> bool:
        """Whether the worker is gone. If it left no record, one is written in its place."""
        code = worker.process.poll()
        if code is None:
            return False
        if not (worker.attempt.path / "exit.json").exists():
            # A negative code is the signal's number: the worker was killed outright.
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            cause = "killed" if code < 0 else "failed" if code else "completed"
            if code == -signal.SIGTERM:  # told to end before it could listen
                cause = "preempted"
            error = f"the worker ended with {reason} and left no record"
            self._record(worker.attempt, cause, code, worker.started, error)
        return True

    def _record(self, attempt: Attempt, cause: str, code: int, started: float, error: str) -> None:
        """Record an end; where that is impossible the other runs go on, and `run` says so."""
        try:
            attempt.end(cause, code, started, error)
        except OSError as lost:
            self.unrecorded.append(f"  {attempt.path}: {cause}, {error}: {lost}")

    def _stop(self, workers: list[_Worker], stop: StopFlag, tell: Callable[[str], object]) -> None:
        if workers:
            stop.begin()  # an error that ends this gave no signal
        for worker in workers:
            _tell(worker.process)
        began, told, left = time.monotonic(), False, workers
        while left := [worker for worker in left if not self._ended(worker)]:
            waited = time.monotonic() - began
            if stop.again or waited > PATIENCE_SECONDS:
                for worker in left:
                    _kill_group(worker.process)
            elif waited > TOLD_SECONDS and not told:
                told = True
                what = "to end their step and leave a checkpoint; Ctrl-C again kills them"
                with contextlib.suppress(OSError):  # of a terminal that was closed
                    tell(f"{len(left)} {what}")
            time.sleep(POLL_SECONDS)


def _task(folder: RunFolder) -> str:
    run = folder.run
    return str(run["science"]["task"]) if run else ""


def _start_cold(
    command: list[str], attempt: Attempt, environment: dict[str, str]
) -> subprocess.Popen[bytes]:
    with (
        (attempt.path / "stdout").open("ab") as out,
        (attempt.path / "stderr").open("ab") as err,
    ):
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=environment,
            # In its own session: Ctrl-C reaches only the launcher, which tells the workers to end.
            start_new_session=True,
        )


def _tell(process: _Process) -> None:
    """Tell a worker to end; what it has started it still needs for its last step."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended, and so has its nursery
            os.kill(process.pid, signal.SIGTERM)


def _kill_group(process: _Process) -> None:
    """Kill a worker and all that it has started."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
