"""Calls of Slurm's commands, which tell a refusal from a scheduler that does not answer."""

from __future__ import annotations

import os
import subprocess

__all__ = ["Refused", "Unreachable", "call", "not_obeyed"]

TIMEOUT = 60.0
"""Seconds for one command; Slurm's own limit (MessageTimeout) is 10 s by default."""

UNREACHABLE = (
    "unable to contact slurm controller",
    "socket timed out",
    "zero bytes were transmitted",
    "temporarily unable to accept job",
    "connection refused",
    "connection timed out",
    "communication connection failure",
    "transport endpoint is not connected",
    "unable to connect to database",
    "unexpected message received",
    "slurm backup controller in standby mode",
    "resource temporarily unavailable",
)
"""Parts of messages, in lower case, after which the request may have been carried out or not."""


OURS = ("SLURM_", "SBATCH_", "SRUN_", "SALLOC_", "SQUEUE_", "SACCT_", "SINFO_", "SCANCEL_")
"""Beginnings of variables that change what a command does. Some are set within a job, and a job
that is submitted from there must not inherit them. The others are for people at a terminal."""

KEPT = ("SLURM_CONF",)

FOR_SBATCH = ("SBATCH_", "SLURM_CLUSTERS")
"""Beginnings of those by which people tell ``sbatch`` what to ask for."""

UNCUT = {"SLURM_BITSTR_LEN": "0"}
"""Lets Slurm write the indices of an array in full."""


class Unreachable(Exception):
    """The scheduler did not answer, or its command is not installed."""


class Refused(Exception):
    """The scheduler answered, with an error."""


def not_obeyed() -> list[str]:
    """Return the variables that are set for ``sbatch`` and that `call` does not hand on."""
    return sorted(name for name in os.environ if name.startswith(FOR_SBATCH))


def call(*command: str) -> str:
    """Run a command of Slurm and return what it printed.

    Raises
    ------
    Unreachable
        If it may succeed another time: whether it has been carried out is not known.
    Refused
        If it will not succeed like this, with the scheduler's words.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or not name.startswith(OURS)
    } | UNCUT
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=TIMEOUT,
            errors="replace",
            env=environment,
        )
    except FileNotFoundError:
        raise Unreachable(f"{command[0]} is not installed here") from None
    except subprocess.TimeoutExpired:
        raise Unreachable(f"{command[0]} did not answer for {TIMEOUT:.0f} s") from None
    if done.returncode == 0:
        return done.stdout
    words = (done.stderr.strip() or done.stdout.strip()) or f"exit code {done.returncode}"
    if any(part in words.lower() for part in UNREACHABLE):
        raise Unreachable(words)
    raise Refused(words)
