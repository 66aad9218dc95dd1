"""Which attempts a process of a job is to execute, and where it stands among the others."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

from study.errors import StudyError
from study.files import read_json
from study.launch.due import goes_on
from study.launch.slurm.batch import NAME, Batch
from study.launch.slurm.command import call
from study.launch.slurm.queue import ended_before
from study.launch.slurm.words import CAUSES, JOB_ID
from study.runs.attempt import Attempt, cancelled_by, last_sign
from study.runs.folder import RunFolder
from study.runs.provenance import MORE_VARIABLES

__all__ = ["Position", "find", "note_stop"]

POLL_SECONDS = 0.5
FIRST_PROCESS_SECONDS = 120.0  # for which the others wait until the first has taken an attempt
PORT = 20000  # a job's port is this and its id modulo this


@dataclass(frozen=True)
class Position:
    """The position of this process in its job, as Slurm says."""

    job: str
    index: int
    restart: int
    rank: int
    world: int
    local_rank: int
    nodes: int
    node: str = ""

    @classmethod
    def read(cls) -> Position:
        """Read the environment of a step of an array task."""
        index = os.environ["SLURM_ARRAY_TASK_ID"]
        return cls(
            job=f"{os.environ['SLURM_ARRAY_JOB_ID']}_{index}",
            index=int(index),
            restart=_number("SLURM_RESTART_COUNT", 0),
            rank=_number("SLURM_PROCID", 0),
            world=_number("SLURM_NTASKS", 1),
            local_rank=_number("SLURM_LOCALID", 0),
            nodes=_number("SLURM_JOB_NUM_NODES", 1),
            node=os.environ.get("SLURMD_NODENAME", ""),
        )

    @property
    def variables(self) -> dict[str, str]:
        """Further variables for the worker; torch's, if several processes train a run together."""
        recorded = {MORE_VARIABLES: JOB_ID}
        if self.world == 1:
            return recorded
        return recorded | {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world),
            "LOCAL_RANK": str(self.local_rank),
            # Not every node can resolve its own name.
            "MASTER_ADDR": _first_node() if self.nodes > 1 else "127.0.0.1",
            "MASTER_PORT": str(PORT + int(os.environ[JOB_ID]) % PORT),
        }


def _number(name: str, default: int) -> int:
    return int(os.environ.get(name, default))


def _first_node() -> str:
    """Return the first of the job's nodes, of whose names Slurm makes a list like ``gpu[1-4]``."""
    return call("scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]).split()[0]


def find(batch: Batch, position: Position) -> list[tuple[RunFolder, Attempt]]:
    """Return the attempts for this process; a broken run costs the others nothing."""
    found = []
    for run in batch.cells(position.index):
        try:
            attempt = (_wait_for if position.rank else _take)(run, batch, position)
        except StudyError as error:
            print(f"error: {error}", file=sys.stderr)
            continue
        if attempt is not None:
            found.append((run, attempt))
    return found


def note_stop(attempt: Attempt, state: str) -> None:
    """Record why Slurm told an attempt to stop: its worker knows only that it was told."""
    ending = read_json(attempt.path / "exit.json") or {}
    if ending.get("cause") == "preempted":
        attempt.note(state)


def _take(run: RunFolder, batch: Batch, position: Position) -> Attempt | None:
    """Take the attempt that this task is to execute; None if it has nothing to do here.

    After a restart that is a new one, and how the one before ended is recorded if it is not yet.
    """
    attempt = run.newest
    if run.result is not None or attempt is None or attempt.submission is None:
        return None
    if not _is_given(attempt, batch, position):
        return None  # it was taken for lost, and the run given to another job
    if who := cancelled_by(attempt):
        attempt.write_off("killed", f"cancelled by {who}", scheduler="CANCELLED")
        return None
    if attempt.start is None:
        return attempt if _begin(attempt, position) else None
    if attempt.start.get("job") != position.job:
        return None  # at work in another job of this name: sbatch was called again, and heard twice
    state = ended_before(position.job)
    if attempt.exit is None:
        told = f"Slurm started the job again after {state}"
        ended = CAUSES.get(state, "preempted")
        attempt.write_off(ended, told, last_sign(attempt), scheduler=state)
    else:
        note_stop(attempt, state)
    if not goes_on(run):
        return None
    successor = run.claim()
    if successor is None:
        return None
    successor.queue(NAME, batch.token, position.index)
    return successor if _begin(successor, position) else None


def _begin(attempt: Attempt, position: Position) -> bool:
    return attempt.begin(position.job, position.node, position.restart)


def _wait_for(run: RunFolder, batch: Batch, position: Position) -> Attempt | None:
    """Return the attempt that the first process has taken; None if it takes none.

    Where it may have taken one that this process cannot see, the job is ended: the first would wait
    for the others for hours.
    """
    deadline = time.monotonic() + FIRST_PROCESS_SECONDS
    while run.result is None:
        attempt, late = run.newest, time.monotonic() > deadline
        if attempt is not None and attempt.exit is None:
            begun = attempt.start or {}
            # It may have been submitted before this execution of the job, or by it.
            if (begun.get("job"), begun.get("restart")) == (position.job, position.restart):
                return attempt
            ours = _is_given(attempt, batch, position) and begun.get("job") in (None, position.job)
            if late and ours:
                sys.exit(
                    f"error: {run.path.name}: process {position.rank} has not seen process 0 begin"
                    f" attempt {attempt.n} within {FIRST_PROCESS_SECONDS:.0f} s"
                )
        if late:
            return None
        time.sleep(POLL_SECONDS)
    return None


def _is_given(attempt: Attempt, batch: Batch, position: Position) -> bool:
    """Whether an attempt was submitted for this task."""
    record = attempt.submission or {}
    return (record.get("token"), record.get("index")) == (batch.token, position.index)
