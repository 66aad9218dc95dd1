"""The script of an array of jobs, for ``sbatch``.

https://slurm.schedmd.com/archive/slurm-22.05-latest/sbatch.html describes its options.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from study.errors import StudyError
from study.launch.slurm.profile import Profile

__all__ = ["parse_job_id", "script"]

SAME_NAME = (
    "partition", "account", "qos", "constraint", "exclude", "reservation", "time", "nodes",
)  # fmt: skip
"""Fields of a profile that are options of sbatch."""


def script(
    token: str,
    folder: Path,
    count: int,
    parallel: int | None,
    memory: float | None,
    profile: Profile,
    snapshot: Path,
) -> str:
    """Return the text for ``sbatch``.

    Parameters
    ----------
    token: str
        Name of the job.
    folder: Path
        The batch's, for the logs.
    count: int
        Tasks of the array.
    parallel: int, optional
        Tasks at a time.
    memory: float, optional
        Gigabytes a node.
    profile: Profile
        All other resources.
    snapshot: Path
        The code to execute.

    Raises
    ------
    StudyError
        If Slurm would misread the folder's name.
    """
    if "%" in str(folder):
        raise StudyError(f"{folder}: sbatch reads % in the name of a log as a sign; move the runs")
    options: dict[str, str | int | bool | None] = {
        **{name: getattr(profile, name) for name in SAME_NAME},
        "ntasks-per-node": profile.processes // profile.nodes,
        "cpus-per-task": profile.cpus,
        "gpus-per-node": profile.gpus or None,
        **profile.sbatch,
        "job-name": token,
        "array": f"0-{count - 1}%{min(count, parallel or count)}",
        "output": f"{folder}/%A_%a_0_log.out",
        "error": f"{folder}/%A_%a_0_log.err",
        "open-mode": "append",
        "signal": f"USR2@{profile.signal_seconds}",
        "requeue": True,
    }
    if memory:
        options["mem"] = f"{round(memory * 1024)}M"
    exports = {"PYTHONPATH": _path(snapshot)}
    for name in ("STUDY_DATA", "STUDY_RUNS", "TORCH_HOME"):
        if value := os.environ.get(name):
            exports[name] = str(Path(value).expanduser().absolute())
    lines = [
        "#!/bin/bash",
        *(_directive(*each) for each in sorted(options.items()) if each[1] not in (None, False)),
        "",
        *profile.setup,
        # Explicitly, since not every cluster passes the environment on.
        *(f"export {name}={shlex.quote(value)}" for name, value in exports.items()),
        # Otherwise a job that was told to inherit nothing would hand nothing on to its step either.
        "unset SLURM_EXPORT_ENV",
        "",
        shlex.join([*_srun(folder, profile), *_task(folder)]),
    ]
    return "\n".join(lines) + "\n"


def parse_job_id(answer: str) -> str | None:
    """Return the job's id from what ``sbatch`` printed, None if there is none in it."""
    found = re.search(r"\bjob (\d+)", answer)
    return found[1] if found else None


def _directive(name: str, value: str | int | bool | None) -> str:
    return f"#SBATCH --{name}" if value is True else f"#SBATCH --{name}={shlex.quote(str(value))}"


def _srun(folder: Path, profile: Profile) -> list[str]:
    words = ["srun", "--unbuffered", "--export=ALL"]
    words += [f"--output={folder}/%A_%a_%t_log.out", f"--error={folder}/%A_%a_%t_log.err"]
    # Since Slurm 22.05 srun does not take over the cores a task that sbatch was asked for.
    if profile.cpus:
        words.append(f"--cpus-per-task={profile.cpus}")
    if profile.processes > 1:
        words.append("--kill-on-bad-exit=1")
    return words


def _task(folder: Path) -> list[str]:
    # -P: take no code from the folder in which sbatch was called.
    return [sys.executable, "-P", "-u", "-m", "study.launch.slurm.task", str(folder)]


def _path(snapshot: Path) -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(snapshot), *([inherited] if inherited else [])])
