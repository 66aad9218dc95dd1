"""The launcher of this machine."""

from __future__ import annotations

import getpass
import math
import os
import signal
import socket
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from study.errors import StudyError
from study.launch.answers import Answers
from study.launch.jobs import Jobs
from study.launch.local.slots import Slots, visible_gpus
from study.launch.protocol import Check, Launcher, Order, Outcome
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder
from study.runs.provenance import cores

__all__ = ["LocalLauncher", "LocalProfile"]

NAME = "local"
JUST_ENDED = "it has just ended"


@dataclass(frozen=True)
class LocalProfile:
    """So many runs at a time, each in one process and without a limit."""

    slots: int = 1
    nodes: int = 1
    processes: int = 1
    gpu_hours: float = math.inf
    node_hours: float = math.inf

    def memory(self, failures: int) -> float | None:
        """No limit."""
        return None


class LocalLauncher(Launcher):
    """Trains in slots, and returns when all runs have ended."""

    title = "this machine"
    keeps_queue = False

    def clusters(self) -> list[str]:
        """Return its own name."""
        return [NAME]

    def profile(self, cluster: str, options: Sequence[str] = ()) -> LocalProfile:
        """Read ``slots=N``."""
        profile = LocalProfile()
        for option in options:
            key, _, value = option.partition("=")
            if key != "slots" or not value.isdecimal() or int(value) < 1:
                raise StudyError(f"--option {option}: {cluster} takes slots=N, a number of runs")
            profile = LocalProfile(int(value))
        return profile

    def submit(self, folders: Sequence[RunFolder], order: Order, said: Answers) -> Outcome:
        """Carry out runs; see `Slots.run`."""
        slots = Slots(min(order.profile.slots, len(folders)))
        return Outcome(stopped=not slots.run(folders, order.refresh))

    def states(self, attempts: Sequence[Attempt]) -> Jobs:
        """Say nothing: `RunFolder.state` looks for processes itself."""
        return Jobs()

    def cancel(self, attempts: Sequence[Attempt], said: Jobs) -> Generator[str, None, bool]:
        """Tell processes of this host to end; of others, say where they are."""
        ended, failed, user = 0, False, getpass.getuser()
        for attempt in attempts:
            problem = _end(attempt, user)
            ended += not problem
            failed |= problem not in ("", JUST_ENDED)
            if problem:
                yield f"{attempt.path.parents[1].name}: {problem}"
        if ended:
            yield f"{ended} runs are told to end"
        return failed

    def logs(self, attempt: Attempt, err: bool) -> Path | None:
        """Return None: workers write to their own files from the beginning."""
        return None

    def checks(self) -> list[Check]:
        """Count cores and GPUs."""
        gpus = visible_gpus()
        found = f"{len(gpus)}: {', '.join(gpus)}" if gpus else "none: runs use the CPU"
        return [
            Check("cores", f"{cores()}, divided among the slots of a study run", ok=True),
            Check("GPUs", found, bool(gpus), "a CUDA driver with nvidia-smi", optional=True),
        ]


def _end(attempt: Attempt, user: str) -> str:
    """Tell a process of this host to end; return what prevents that, if something does."""
    record = attempt.submission or {}
    if record.get("host") != socket.gethostname():
        return f"process {record.get('pid')} is on {record.get('host')}: cancel it there"
    attempt.cancel(user)
    try:
        os.kill(int(record["pid"]), signal.SIGTERM)
    except ProcessLookupError:
        return JUST_ENDED
    return ""
