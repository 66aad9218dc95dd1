"""What one call of ``sbatch`` is to execute: JSON that its tasks read when they start.

``.slurm/<token>/`` beside the run folders holds ``batch.json``, written before the call,
``job.json`` with the job's id, written after it, and the logs of what happens around the trainings.
The token is the job's name. By that the job is found again if the answer to the call is lost, and
its tasks find their work even if nobody knows its id.
"""

from __future__ import annotations

import getpass
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.files import read_json, write_json
from study.runs.attempt import Attempt
from study.runs.folder import SCHEMA, RunFolder

__all__ = ["FOLDER", "NAME", "Batch", "batch_of"]

NAME = "slurm"
"""Of this launcher, in the records of its attempts."""

FOLDER = f".{NAME}"

OUT_OF_MEMORY = re.compile(
    rb"oom[-_]kill|out-of-memory|exceeded (job )?memory limit", re.IGNORECASE
)
"""In the words of slurmstepd, with control groups and without."""

TAIL_BYTES = 65536


@dataclass(frozen=True)
class Batch:
    """The folder of one array; every property reads afresh."""

    path: Path

    @classmethod
    def new(cls, root: Path) -> Batch:
        """Choose a token for an array whose runs are in `root`."""
        token = f"study-{secrets.token_hex(6)}"
        return cls(root / FOLDER / token)

    @property
    def token(self) -> str:
        """Name of the job."""
        return self.path.name

    @property
    def root(self) -> Path:
        """Folder of the run folders."""
        return self.path.parents[1]

    def write(
        self,
        tasks: Sequence[Sequence[tuple[RunFolder, Attempt]]],
        options: dict[str, Any],
        code: Path,
    ) -> None:
        """Record what each task executes, by which code, and what it asks the cluster for."""
        write_json(
            self.path / "batch.json",
            {
                "schema": SCHEMA,
                "user": getpass.getuser(),
                "time": round(time.time(), 3),
                "code": str(code),
                "options": options,
                "tasks": [[[f.path.name, a.n] for f, a in cells] for cells in tasks],
            },
        )
        for index, cells in enumerate(tasks):
            for _, attempt in cells:
                attempt.queue(NAME, self.token, index)

    @property
    def record(self) -> dict[str, Any]:
        """``batch.json``."""
        return read_json(self.path / "batch.json") or {}

    def cells(self, index: int) -> list[RunFolder]:
        """Return the runs of one task."""
        return [RunFolder(self.root / name) for name, _ in self.record["tasks"][index]]

    def know(self, job: str, adopted: bool) -> None:
        """Record the job's id; `adopted` if it had to be looked up."""
        write_json(self.path / "job.json", {"job": job, "adopted": adopted})

    @property
    def job(self) -> str | None:
        """The job's id, None while it is not known."""
        record = read_json(self.path / "job.json")
        return str(record["job"]) if record else None

    def logs(self, index: int, err: bool) -> list[Path]:
        """Return the logs of the executions of a task, or their standard error, in order."""
        found = self.path.glob(f"*_{index}_0_log.{'err' if err else 'out'}")
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def lacked_memory(self, job: str) -> bool:
        """Whether the log of a task says that Slurm killed it for want of memory."""
        for path in self.path.glob(f"{job}_*_log.err"):
            with path.open("rb") as file:
                file.seek(max(0, path.stat().st_size - TAIL_BYTES))
                if OUT_OF_MEMORY.search(file.read()):
                    return True
        return False


def batch_of(attempt: Attempt) -> Batch:
    """Return the array that an attempt belongs to."""
    assert attempt.submission is not None
    return Batch(attempt.path.parents[2] / FOLDER / str(attempt.submission["token"]))
