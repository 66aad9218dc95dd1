"""What a job of the cluster executes: ``python -m study.launch.slurm.task BATCH``, once a process.

``... BATCH CODE LINE`` records instead that the job's own script ended before that, at that line.

It starts a worker for each run of its array task, passes Slurm's signals on to the workers, and
records what became of the attempts. A job that Slurm has put back into the queue comes here again
and takes the next attempt. It reads all it needs from disk.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from study.environment import child_environment
from study.launch.due import goes_on
from study.launch.slurm.batch import Batch
from study.launch.slurm.cells import Position, find, note_stop
from study.launch.slurm.command import Refused, Unreachable, call
from study.runs.attempt import Attempt, cancelled_by
from study.runs.folder import RunFolder
from study.runs.provenance import cores

__all__ = ["main"]

POLL_SECONDS = 0.5
REMIND_SECONDS = 2.0  # between two signals to a worker that may not have been listening yet
ASK_SECONDS = 5.0  # between two questions whether Slurm is killing the job
LAST_SECONDS = 600.0  # for which an answer is waited for, and then for the kill
LEAVE_SECONDS = 30.0  # for a worker to end after its attempt has; it may hang in a collective call

NO_GPU = ("", "NoDevFiles")
"""What CUDA_VISIBLE_DEVICES says where Slurm has given none."""

STOPPED_BY = {signal.SIGTERM: "preempted", signal.SIGUSR2: "timeout"}


def main(arguments: list[str] | None = None) -> int:
    """Carry out the task; 0 if all its runs are complete."""
    folder, *ended = arguments if arguments is not None else sys.argv[1:]
    batch, position = Batch(Path(folder)), Position.read()
    if ended:
        _record_setup(batch, position, *map(int, ended))
        return 0
    stop = _Stop()
    _check_code(batch)
    cells = find(batch, position)
    options = batch.record["options"]
    if options["gpus"] and os.environ.get("CUDA_VISIBLE_DEVICES", "0") in NO_GPU:
        return _without_gpu(cells, options["gpus"], position)
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
        return max((worker.code for worker in workers if not worker.left), default=0)
    unfinished = [(run, attempt) for run, attempt in cells if run.result is None]
    if stop.number and unfinished:
        _leave(position, stop.number, unfinished, options["requeue"])
    return 1 if unfinished else 0


def _check_code(batch: Batch) -> None:
    """Exit with a message if this is not the code that was submitted."""
    here, meant = Path(__file__).resolve(), Path(batch.record["code"]).resolve()
    if not here.is_relative_to(meant):
        sys.exit(f"error: this is {here}, not the code that was submitted, {meant}: is it damaged?")


def _record_setup(batch: Batch, position: Position, code: int, line: int) -> None:
    """Record that the script ended with an exit code at a line, 0 if none failed, of its setup."""
    script = (batch.path / "submission.sh").read_text().splitlines()
    said = "\n".join(path.read_text(errors="replace") for path in batch.logs(position.index, True))
    told = f"the profile's setup ended with exit code {code}"
    told += f" at {script[line - 1].strip()!r}" if 0 < line <= len(script) else ""
    told += f": {said.strip().splitlines()[-1]}" if said.strip() else ""
    print(f"error: {told}", file=sys.stderr)
    for _, attempt in find(batch, position):
        attempt.end("failed", code, time.time(), told)


def _without_gpu(
    cells: list[tuple[RunFolder, Attempt]], asked: int | str, position: Position
) -> int:
    """Record that Slurm has given the job none of the GPUs that it asked for; return 1."""
    node = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
    found = os.environ["CUDA_VISIBLE_DEVICES"]
    told = (
        f"job {position.job} asked for GPUs ({asked} a node) and finds none on {node}: "
        f"CUDA_VISIBLE_DEVICES is {found!r}"
    )
    print(f"error: {told}", file=sys.stderr)
    for _, attempt in cells:
        attempt.end("failed", 1, time.time(), told)
    return 1


def _leave(
    position: Position, number: int, unfinished: list[tuple[RunFolder, Attempt]], requeue: bool
) -> None:
    """Put a job that was told to stop back into the queue, if its runs are to go on.

    Slurm does not put a job back that ends by itself in the grace time before its preemption. So
    the job must do it.
    """
    if number == signal.SIGTERM:
        fate = _fate(position.job)
        if fate == "killed":
            # Cancelled, requeued, or its node given up. Slurm knows what follows, unless the job
            # ends by itself.
            time.sleep(LAST_SECONDS)
        if fate != "preempted":
            return
        for _, attempt in unfinished:
            note_stop(attempt, "PREEMPTED")
        requeue = True
    if requeue and any(goes_on(run) for run, _ in unfinished):
        _requeue(position.job)


def _fate(job: str) -> str:
    """Return what Slurm does with this job after SIGTERM: ``killed``, ``preempted``, ``nothing``.

    Nothing follows where somebody has sent the signal alone, as ``scancel --signal`` does. The
    answer must come twice, since a signal can be faster than the controller's own record.
    """
    deadline, untouched = time.monotonic() + LAST_SECONDS, 0
    while untouched < 2 and time.monotonic() < deadline:
        time.sleep(ASK_SECONDS * untouched)
        try:
            answer = call("scontrol", "--oneliner", "show", "job", job)
        except (Unreachable, Refused):
            time.sleep(ASK_SECONDS)
            continue
        fields = dict(word.split("=", 1) for word in answer.split() if "=" in word)
        if fields.get("JobState") != "RUNNING":
            return "killed"
        if fields.get("PreemptTime", "None") != "None":
            return "preempted"
        untouched += 1
    return "nothing"


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
        self.recorded: float | None = None  # since when its attempt has a record
        self.left = False  # whether it had to be killed after that
        cuda = bool(options["gpus"])
        environment = child_environment(position.variables)
        threads = str(max(1, int(os.environ.get("SLURM_CPUS_PER_TASK", cores())) // workers))
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            environment[name] = threads
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        if cuda and workers > 1 and gpus is not None:
            environment["CUDA_VISIBLE_DEVICES"] = gpus.split(",")[index % len(gpus.split(","))]
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
        recorded = (self.attempt.path / "exit.json").exists()
        if code is None:
            if recorded:
                self._leave()
            return False
        if not recorded and (self.rank == 0 or code < 0):
            # Scheduler and kernel kill without warning, and a worker that is told to stop before it
            # listens ends at once.
            told = STOPPED_BY.get(signal.Signals(-code), "killed") if code < 0 else "failed"
            how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
            self.attempt.end(
                told, code, self.started, f"the worker ended with {how} and left no record"
            )
        return True

    def _leave(self) -> None:
        """Kill a worker whose attempt has ended long ago: the node is not for waiting."""
        now = time.monotonic()
        self.recorded = self.recorded or now
        if now - self.recorded > LEAVE_SECONDS and not self.left:
            self.left = True
            print(f"{self.run.path.name}: process {self.rank} hung, killed", file=sys.stderr)
            self.process.kill()


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
