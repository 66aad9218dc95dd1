"""What a job of the cluster executes: ``python -m study.launch.slurm.task BATCH``, once a process.

Starts a worker for each run of its array task, passes on what the scheduler tells it to do, and
records what became of the attempts. A job that Slurm puts back into the queue comes here again, and
takes the next attempt: everything is read from disk, nothing is remembered.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from study.attempt import Attempt, cancelled_by
from study.folder import RunFolder
from study.launch.retries import may_retry
from study.launch.slurm.batch import Batch
from study.launch.slurm.command import Refused, Unreachable, call
from study.launch.slurm.queue import CAUSES, ended_before, last_sign, preempted
from study.provenance import cores

__all__ = ["main", "take"]

POLL_SECONDS = 0.5
REMIND_SECONDS = 2.0  # between two signals to a worker that may not have been listening yet
FIRST_PROCESS_SECONDS = 120.0  # that the others wait for the first to choose an attempt
LAST_SECONDS = 600.0  # that Slurm may take to kill a job that it has told to end
PORT = 20000  # the first of as many ports as jobs choose theirs from

STOPPED_BY = {signal.SIGTERM: "preempted", signal.SIGUSR2: "timeout"}


@dataclass(frozen=True)
class Place:
    """Where this process stands, as Slurm says."""

    job: str
    index: int
    restart: int
    rank: int
    world: int
    local_rank: int
    hosts: list[str]

    @classmethod
    def read(cls) -> Place:
        """Read the environment of a step of an array task."""
        from submitit.slurm.slurm import SlurmJobEnvironment

        slurm = SlurmJobEnvironment()
        return cls(
            job=slurm.job_id,
            index=int(slurm.array_task_id or 0),
            restart=int(os.environ.get("SLURM_RESTART_COUNT", 0)),
            rank=slurm.global_rank,
            world=slurm.num_tasks,
            local_rank=slurm.local_rank,
            hosts=list(slurm.hostnames),
        )

    @property
    def variables(self) -> dict[str, str]:
        """torch's names for it, none for a process alone."""
        if self.world == 1:
            return {}
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world),
            "LOCAL_RANK": str(self.local_rank),
            # Not every node can resolve its own name.
            "MASTER_ADDR": self.hosts[0] if len(self.hosts) > 1 else "127.0.0.1",
            "MASTER_PORT": str(PORT + int(os.environ["SLURM_JOB_ID"]) % PORT),
        }


def main(arguments: list[str] | None = None) -> int:
    """Carry out the task; 0 if all its runs are complete."""
    (folder,) = arguments if arguments is not None else sys.argv[1:]
    batch, place = Batch(Path(folder)), Place.read()
    stop = _Stop()
    find = take if place.rank == 0 else _wait_for
    cells = [
        (run, attempt) for run in batch.cells(place.index) if (attempt := find(run, batch, place))
    ]
    options = batch.record["options"]
    workers = [
        _Worker(run, attempt, place, options, slot, len(cells))
        for slot, (run, attempt) in enumerate(cells)
    ]
    while any(not worker.ended() for worker in workers):
        if stop.number:
            for worker in workers:
                worker.tell(stop.number)
        for worker in workers:
            if cancelled_by(worker.attempt):
                worker.tell(signal.SIGTERM)
        time.sleep(POLL_SECONDS)
    if place.rank:
        return max((worker.code for worker in workers), default=0)
    unfinished = [run for run, _ in cells if run.result is None]
    if stop.number and unfinished:
        _leave(place, stop.number, unfinished, options["requeue"])
    return 1 if unfinished else 0


def _leave(place: Place, number: int, unfinished: list[RunFolder], requeue: bool) -> None:
    """See to it that a job that was told to stop comes back, if it is to.

    Slurm takes a job for done that ends by itself in the grace time before its preemption, and does
    not put it back into the queue: the job must.
    """
    if number == signal.SIGTERM:
        if not preempted(place.job):
            # Cancelled, requeued or its node given up: Slurm knows what follows, and would take an
            # end of our own for the job's.
            time.sleep(LAST_SECONDS)
            return
        for run in unfinished:
            if attempt := run.newest:
                attempt.note("PREEMPTED")
        requeue = True
    endings = [[attempt.ending for attempt in run.attempts] for run in unfinished]
    if requeue and any(map(may_retry, endings)):
        _requeue(place.job)


def take(run: RunFolder, batch: Batch, place: Place) -> Attempt | None:
    """Take the attempt that this task is to execute; None if it has nothing to do here.

    After a restart that is a new one, and how the one before ended is recorded if it is not yet.
    """
    attempt = run.newest
    if run.result is not None or attempt is None or attempt.submission is None:
        return None
    mine = (attempt.submission.get("token"), attempt.submission.get("index"))
    if mine != (batch.token, place.index):
        return None  # given up for lost, and given to somebody else
    if cancelled_by(attempt):
        told = f"cancelled by {cancelled_by(attempt)}"
        attempt.write_off("killed", told, scheduler="CANCELLED")
        return None
    if attempt.start is None:
        return attempt if attempt.begin(place.job) else None
    state = ended_before(place.job)
    if attempt.exit is None:
        cause = CAUSES.get(state, "preempted")
        told = f"Slurm started the job again after {state}"
        attempt.write_off(cause, told, last_sign(attempt), scheduler=state)
    else:
        attempt.note(state)  # of a signal the worker cannot say whence it came
    if not may_retry([before.ending for before in run.attempts]):
        return None
    successor = run.claim()
    if successor is None:
        return None
    successor.queue(batch.token, place.index, place.restart)
    return successor if successor.begin(place.job) else None


def _wait_for(run: RunFolder, batch: Batch, place: Place) -> Attempt | None:
    """Return the attempt that the first process has taken; None if it takes none."""
    deadline = time.monotonic() + FIRST_PROCESS_SECONDS
    while time.monotonic() < deadline and run.result is None:
        attempt = run.newest
        if attempt and attempt.start and attempt.exit is None:
            theirs = (attempt.submission or {}).get("restart"), attempt.start.get("job")
            if theirs == (place.restart, place.job):
                return attempt
        time.sleep(POLL_SECONDS)
    return None


class _Stop:
    """Remembers what the scheduler has told this process to do."""

    def __init__(self) -> None:
        self.number = 0
        for number in STOPPED_BY:
            signal.signal(number, self._told)

    def _told(self, number: int, frame: FrameType | None) -> None:
        self.number = self.number or number  # the time is up first, and the end comes after it


class _Worker:
    """A worker process and the attempt that it executes."""

    def __init__(
        self,
        run: RunFolder,
        attempt: Attempt,
        place: Place,
        options: dict[str, Any],
        slot: int,
        slots: int,
    ) -> None:
        self.run, self.attempt, self.rank = run, attempt, place.rank
        self.started, self.reminded = time.time(), 0.0
        cuda = bool(options["gpus"])
        environment = os.environ | place.variables
        threads = str(max(1, int(os.environ.get("SLURM_CPUS_PER_TASK", cores())) // slots))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = threads
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
        if cuda and slots > 1:
            environment["CUDA_VISIBLE_DEVICES"] = gpus[slot % len(gpus)]
        # -P: the code is that of the snapshot, not that of the folder in which sbatch was called.
        command = [sys.executable, "-P", "-m", "study.worker", str(run.path), str(attempt.n)]
        command += ["--device", "cuda" if cuda else "cpu"]
        suffix = f".{place.rank}" if place.rank else ""
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
        """Pass a signal on, again and again until it is heeded."""
        now = time.monotonic()
        if self.process.poll() is None and now - self.reminded > REMIND_SECONDS:
            self.reminded = now
            self.process.send_signal(number)

    def ended(self) -> bool:
        """Whether it has; what it could not record is recorded in its place."""
        code = self.process.poll()
        if code is None:
            return False
        if self.rank == 0 or code < 0:
            # Scheduler and kernel kill without leave to say a word; a worker that was told to stop
            # before it listened ends by the signal's default.
            cause = STOPPED_BY.get(signal.Signals(-code), "killed") if code < 0 else "failed"
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self.attempt.end(
                cause, code, self.started, f"the worker ended with {how} and left no record"
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
