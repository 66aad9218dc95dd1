"""Runs on this machine, a given number at a time, each in a worker process of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import FrameType

from study.folder import SETTLED, Attempt, RunFolder
from study.provenance import cores

__all__ = ["LocalLauncher"]

POLL_SECONDS = 0.2
GRACE_SECONDS = 20.0  # between SIGTERM and SIGKILL when the user stops


@dataclass
class _Worker:
    slot: int
    folder: RunFolder
    attempt: Attempt
    process: subprocess.Popen[bytes]
    started: float


@dataclass
class LocalLauncher:
    """A queue with a fixed number of slots.

    Parameters
    ----------
    slots: int
        Runs at a time. The cores are divided among them: two trainings with two threads each on two
        cores can be many times slower than with one each.
    gpus: list of str
        GPU names to hand out to the slots in turn; empty for the CPU.
    """

    slots: int
    gpus: list[str] = field(default_factory=lambda: visible_gpus())

    @property
    def threads(self) -> int:
        """Threads a slot."""
        return max(1, cores() // self.slots)

    def run(self, folders: Sequence[RunFolder], refresh: Callable[[], None]) -> bool:
        """Carry out the runs; True unless the user stopped before the end.

        A run that fails does not stop the others. SIGINT, SIGTERM and SIGHUP stop: workers are told
        to end and leave their checkpoints, what has finished stays finished.

        Parameters
        ----------
        folders: sequence of RunFolder
            In the order in which to start them. One that another process works on is left to it.
        refresh: callable
            Called about five times a second, to show progress.
        """
        waiting = list(folders)
        workers: list[_Worker] = []
        stop = _StopFlag()
        with stop:
            try:
                while (waiting or workers) and not stop.wanted:
                    free = [s for s in range(self.slots) if s not in {w.slot for w in workers}]
                    while free and waiting:
                        folder = waiting.pop(0)
                        # Begun by another process since the caller looked, perhaps on a host
                        # whose processes the claim cannot see.
                        if folder.condition() in SETTLED:
                            continue
                        attempt = folder.claim()
                        if attempt is not None:
                            workers.append(self._start(free.pop(0), folder, attempt))
                    workers = [worker for worker in workers if not self._ended(worker)]
                    refresh()
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop(workers)
        refresh()
        return not stop.wanted

    def _start(self, slot: int, folder: RunFolder, attempt: Attempt) -> _Worker:
        environment = dict(os.environ)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = str(self.threads)
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        command = [
            sys.executable, "-m", "study.worker", str(folder.path), str(attempt.n),
            "--device", "cuda" if self.gpus else "cpu",
        ]  # fmt: skip
        with (
            (attempt.path / "stdout").open("ab") as out,
            (attempt.path / "stderr").open("ab") as err,
        ):
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=environment,
                # A session of its own: Ctrl-C reaches the launcher alone, which tells the workers.
                start_new_session=True,
            )
        started = time.time()
        attempt.submit("local", process.pid, slots=self.slots, command=command)
        return _Worker(slot, folder, attempt, process, started)

    def _ended(self, worker: _Worker) -> bool:
        """Whether the worker is gone; if it could not say why, say it in its place."""
        code = worker.process.poll()
        if code is None:
            return False
        if not (worker.attempt.path / "exit.json").exists():
            # A negative code is the signal's number: the worker was killed outright.
            reason = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            cause = "killed" if code < 0 else "failed"
            if code == -signal.SIGTERM:  # told to end before it could listen
                cause = "preempted"
            error = f"the worker ended with {reason} and left no record"
            # On a full disk the record stays away, and the run counts as killed all the same.
            with contextlib.suppress(OSError):
                worker.attempt.end(cause, code, worker.started, error)
        return True

    def _stop(self, workers: list[_Worker]) -> None:
        for worker in workers:
            _signal_group(worker.process, signal.SIGTERM)
        deadline = time.monotonic() + GRACE_SECONDS
        while any(not self._ended(worker) for worker in workers):
            if time.monotonic() > deadline:
                for worker in workers:
                    _signal_group(worker.process, signal.SIGKILL)
            time.sleep(POLL_SECONDS)


def visible_gpus() -> list[str]:
    """Return the GPUs that may be used, as CUDA_VISIBLE_DEVICES names them, without torch."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [name for name in chosen.split(",") if name.strip() not in ("", "-1")]
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    lines = [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]
    return [str(index) for index in range(len(lines))]


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.poll() is None:
        os.killpg(process.pid, number)


class _StopFlag:
    """Turns SIGINT, SIGTERM and SIGHUP into a wish that the loop looks at."""

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, object] = {}

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True

    def __enter__(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, self._set)

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
