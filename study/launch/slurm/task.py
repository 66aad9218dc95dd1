"""What a job of the cluster executes: ``python -m study.launch.slurm.task BATCH``, once a process.

It starts a worker for each run of its array task, passes Slurm's signals on to the workers, and
records what became of the attempts. A job that Slurm has put back into the queue comes here again
and takes the next attempt. It reads all it needs from disk.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from study.launch.due import goes_on
from study.launch.slurm.batch import Batch
from study.launch.slurm.cells import Position, find, note_stop
from study.launch.slurm.command import Refused, Unreachable, call
from study.launch.slurm.queue import preempted
from study.runs.attempt import Attempt, cancelled_by
from study.runs.folder import RunFolder
from study.runs.provenance import cores

__all__ = ["main"]

POLL_SECONDS = 0.5
REMIND_SECONDS = 2.0  # between two signals to a worker that may not have been listening yet
LAST_SECONDS = 600.0  # to wait for Slurm to kill a job that it has told to end

STOPPED_BY = {signal.SIGTERM: "preempted", signal.SIGUSR2: "timeout"}


def main(arguments: list[str] | None = None) -> int:
    """Carry out the task; 0 if all its runs are complete."""
    (folder,) = arguments if arguments is not None else sys.argv[1:]
    batch, position = Batch(Path(folder)), Position.read()
    stop = _Stop()
    _check_code(batch)
    cells = find(batch, position)
    options = batch.record["options"]
    workers = [
        _Worker(run, attempt, position, options, index, len(cells))
        for index, (run, attempt) in enumerate(cells)
    ]
    while sum(worker.ended() for worker in workers) < len(workers):
        if stop.number:
            for worker in workers:
                worker.tell(stop.number)
        for worker in workers:
            if cancelled_by(worker.attempt):
                worker.tell(signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    if position.rank:
        return max((worker.code for worker in workers), default=0)
    unfinished = [(run, attempt) for run, attempt in cells if run.result is None]
    if stop.number and unfinished:
        _leave(position, stop.number, unfinished, options["requeue"])
    return 1 if unfinished else 0


def _check_code(batch: Batch) -> None:
    """Exit with a message if this is not the code that was submitted."""
    here, meant = Path(__file__).resolve(), Path(batch.record["code"]).resolve()
    if not here.is_relative_to(meant):
        sys.exit(f"error: this is {here}, not the code that was submitted, {meant}: is it damaged?")


def _leave(
    position: Position, number: int, unfinished: list[tuple[RunFolder, Attempt]], requeue: bool
) -> None:
    """Put a job that was told to stop back into the queue, if its runs are to go on.

    Slurm does not put a job back that ends by itself in the grace time before its preemption. So
    the job must do it.
    """
    if number == signal.SIGTERM:
        if not preempted(position.job):
            # Cancelled, requeued, or its node given up. Slurm knows what follows, unless the job
            # ends by itself.
            time.sleep(LAST_SECONDS)
            return
        for _, attempt in unfinished:
            note_stop(attempt, "PREEMPTED")
        requeue = True
    if requeue and any(goes_on(run) for run, _ in unfinished):
        _requeue(position.job)


class _Stop:
    """Remembers what the scheduler has told this process to do."""

    def __init__(self) -> None:
        self.number = 0
        for number in STOPPED_BY:
            signal.signal(number, self._told)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number  # the first says why: at the time limit both come


class _Worker:
    """A worker process and the attempt that it executes."""

    def __init__(
        self,
        run: RunFolder,
        attempt: Attempt,
        position: Position,
        options: dict[str, Any],
        index: int,
        workers: int,
    ) -> None:
        self.run, self.attempt, self.rank = run, attempt, position.rank
        self.started, self.reminded = time.time(), 0.0
        cuda = bool(options["gpus"])
        environment = os.environ | position.variables
        threads = str(max(1, int(os.environ.get("SLURM_CPUS_PER_TASK", cores())) // workers))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = threads
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if cuda and workers > 1:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[index % len(gpus)]
        # -P: take no code from the folder in which sbatch was called.
        command = [sys.executable, "-P", "-m", "study.worker", str(run.path), str(attempt.n)]
        command += ["--device", "cuda" if cuda else "cpu"]
        suffix = f".{position.rank}" if position.rank else ""
        with (
            (attempt.path / f"stdout{suffix}").open("ab") as out,
            (attempt.path / f"stderr{suffix}").open("ab") as err,
        ):
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
            )

    @property
    def code(self) -> int:
        """Exit code, 128 and more for a signal's."""
        code = self.process.returncode
        return 128 - code if code < 0 else code

    def tell(self, number: int) -> None:
        """Pass a signal on, and repeat it until the worker has ended."""
        now = time.monotonic()
        if self.process.poll() is None and now - self.reminded > REMIND_SECONDS:
            self.reminded = now
            self.process.send_signal(number)

    def ended(self) -> bool:
        """Whether it has ended. If it left no record, one is written in its place."""
        code = self.process.poll()
        if code is None:
            return False
        recorded = (self.attempt.path / "exit.json").exists()
        if not recorded and (self.rank == 0 or code < 0):
            # Scheduler and kernel kill without warning, and a worker that is told to stop before it
            # listens ends at once.
            told = STOPPED_BY.get(signal.Signals(-code), "killed") if code < 0 else "failed"
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self.attempt.end(
                told, code, self.started, f"the worker ended with {how} and left no record"
            )
        return True


def _requeue(job: str) -> None:
    """Put this job back into the queue, which ends it."""
    for _ in range(3):
        try:
            call("scontrol", "requeue", job)
            return
        except Unreachable as error:
            print(f"requeue: {error}", file=sys.stderr)
            time.sleep(5)
        except Refused as error:  # a cluster without requeueing: `study submit` goes on from here
            print(f"requeue: {error}", file=sys.stderr)
            return


if __name__ == "__main__":
    sys.exit(main())
