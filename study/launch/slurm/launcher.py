"""The launcher of clusters that run Slurm."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.launch.jobs import Answers, Jobs
from study.launch.protocol import Check, Launcher, Order, Outcome
from study.launch.slurm import cancel, profile
from study.launch.slurm.batch import batch_of
from study.launch.slurm.command import not_obeyed
from study.launch.slurm.profile import Profile
from study.launch.slurm.queue import Queue
from study.launch.slurm.submit import Submission
from study.launch.slurm.words import JOB_ID, WORDS
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

__all__ = ["SlurmLauncher"]

LAST_SECONDS = 20
"""How long before its time limit a short job is told to stop; the least that a profile may say."""


class SlurmLauncher(Launcher):
    """Queues runs as arrays of jobs."""

    title = "Slurm"
    words = WORDS
    variables = (JOB_ID,)

    def clusters(self) -> list[str]:
        """Return the names of the user's profiles."""
        return profile.names()

    def profile(self, cluster: str, options: Sequence[str] = ()) -> Profile:
        """Read the profile; see `study.launch.slurm.profile.load`."""
        return profile.load(cluster, options)

    def one_process(self, profile: Any, minutes: int) -> Profile:
        """Return the profile with one node, one task and, if it has any, one GPU."""
        fewer = {"nodes": 1, "tasks": 1, "gpus": profile.one_gpu()}
        limits = {"time": min(profile.time, minutes), "signal_seconds": LAST_SECONDS}
        return profile.model_copy(update=fewer | limits)

    def ready(self) -> None:
        """Look for ``sbatch``, and say which variables of the caller's it does not get."""
        if shutil.which("sbatch") is None:
            raise StudyError("Slurm is not installed here: no sbatch on the PATH")
        if names := not_obeyed():
            print(
                f"note: not obeyed: {', '.join(names)}; what jobs ask for is in the profile, or in"
                " -o KEY=VALUE",
                file=sys.stderr,
            )

    def submit(self, folders: Sequence[RunFolder], order: Order, said: Answers) -> Outcome:
        """Queue runs."""
        return _submission(order).submit(folders, said)

    def scripts(self, folders: Sequence[RunFolder], order: Order, said: Answers) -> Iterator[str]:
        """Yield the scripts for ``sbatch``."""
        return _submission(order).scripts(folders, said)

    def states(self, attempts: Sequence[Attempt]) -> Queue:
        """Ask ``squeue``, and ``sacct`` about what that does not know."""
        return Queue.ask(attempts)

    def cancel(self, attempts: Sequence[Attempt], said: Jobs) -> Generator[str, None, bool]:
        """Call ``scancel`` for jobs all of whose runs are to end."""
        return cancel.cancel(attempts, said)

    def logs(self, attempt: Attempt, err: bool) -> Path | None:
        """Return the log of the newest execution of the attempt's task."""
        index = int((attempt.submission or {}).get("index", -1))
        return next(iter(batch_of(attempt).logs(index, err)[::-1]), None)

    def checks(self) -> list[Check]:
        """Look for ``sbatch``."""
        path = shutil.which("sbatch")
        return [
            Check(self.title, path or "no sbatch", path is not None, "log in to a cluster", True)
        ]


def _submission(order: Order) -> Submission:
    bad = order.bad if order.profile.avoid else ()
    return Submission(order.root, order.profile, order.pack, order.packages, order.tell, bad)
