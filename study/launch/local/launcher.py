"""The launcher of this machine."""

from __future__ import annotations

import contextlib
import getpass
import math
import os
import signal
import socket
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from study.errors import StudyError
from study.launch.answers import Answers
from study.launch.gpus import listed_gpus
from study.launch.jobs import Jobs
from study.launch.local.slots import Slots
from study.launch.protocol import Check, Launcher, Order, Outcome
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder
from study.runs.provenance import cores
from study.worker.child import ask

__all__ = ["LocalLauncher", "LocalProfile"]

NAME = "local"
JUST_ENDED = "it has just ended"

TORCH_SECONDS = 120  # to import torch; a cold disk takes its time


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
        return Outcome(stopped=not slots.run(folders, order.refresh, order.tell, said))

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
        return [
            Check("cores", f"{cores()}, divided among the slots of a study run", ok=True),
            _gpus(),
        ]


def _gpus() -> Check:
    """Compare the GPUs that are listed with those that torch can use."""
    try:
        listing = listed_gpus()
        names = listing.names
        if not names:
            missing = "a CUDA driver with nvidia-smi"
            return Check("GPUs", "none: runs use the CPU", False, missing, optional=True)
        # As a run on the first of them would; torch sees those alone that this variable names.
        told = {"CUDA_VISIBLE_DEVICES": ",".join(names)}
        usable = ask("study.worker.device:found", {}, told, seconds=TORCH_SECONDS)
    except (StudyError, TimeoutError) as error:
        return Check("GPUs", str(error), False, "study run --device cpu uses the CPU")
    said = [f"{len(names)}: {', '.join(names)}", *listing.notes]
    if len(usable) < len(names) and not any(name.startswith("MIG-") for name in names):
        said.append(f"torch can use {len(usable)} of them")
    return Check("GPUs", "; ".join(said), len(said) == 1, "nvidia-smi, and the driver's log")


def _end(attempt: Attempt, user: str) -> str:
    """Tell a process of this host to end; return what prevents that, if something does."""
    record = attempt.submission or {}
    if record.get("host") != socket.gethostname():
        return f"process {record.get('pid')} is on {record.get('host')}: cancel it there"
    pid = int(record["pid"])
    try:
        os.kill(pid, 0)  # may it be told at all?
        attempt.cancel(user)
        os.kill(pid, signal.SIGTERM)
    except ProcessLookupError:
        return JUST_ENDED
    except PermissionError:
        return f"process {pid} belongs to {_owner(pid)}"
    return ""


def _owner(pid: int) -> str:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).username()
    return "somebody else"
