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
from study.launch.slurm import options as sbatch_options
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
        "job-name": token,
        "array": f"0-{count - 1}%{min(count, parallel or count)}",
        "output": f"{folder}/%A_%a_0_log.out",
        "error": f"{folder}/%A_%a_0_log.err",
        "open-mode": "append",
        "signal": f"USR2@{profile.signal_seconds}",
        "requeue": True,
        "mem": f"{round(memory * 1024)}M" if memory else None,
    }
    ours = {name: str(value) for name, value in options.items() if value is not None}
    directives = (sbatch_options.written(*each) for each in ({**profile.sbatch, **ours}).items())
    exports = {"PYTHONPATH": _path(snapshot)}
    for name in ("STUDY_DATA", "STUDY_RUNS", "TORCH_HOME"):
        if value := os.environ.get(name):
            exports[name] = str(Path(value).expanduser().absolute())
    if wanted := os.environ.get("STUDY_ITEMS"):
        exports["STUDY_ITEMS"] = wanted
    lines = [
        "#!/bin/bash",
        *sorted(f"#SBATCH {each}" for each in directives if each),
        "",
        *_set_up(folder, profile, exports["PYTHONPATH"]),
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


def _set_up(folder: Path, profile: Profile, path: str) -> list[str]:
    """Return the lines of the profile's setup; one that fails ends the job, and its runs know why.

    ``set -e`` would hold within the functions too that ``module`` and ``conda`` are made of, where
    many a command may fail. A trap on ERR hears of the line itself. It is heard within a file that
    is read by ``source`` as well, which is no failure of the line yet.
    """
    if not profile.setup:
        return []
    record = shlex.join(["env", f"PYTHONPATH={path}", *_task(folder)])
    return [
        "study_line=0 study_ready=",
        """trap 'study_code=$? study_line=$LINENO; """
        """[ "${#BASH_SOURCE[@]}" -gt 1 ] || exit "$study_code"' ERR""",
        "study_ended() {",
        "    # A signal's end, 0 here or above 128, is Slurm's to explain.",
        """    [ -n "$study_ready" ] || [ "$1" -eq 0 ] || [ "$1" -gt 128 ] ||""",
        f'        {record} "$1" "$study_line"',
        "}",
        "trap 'study_ended $?' EXIT",
        *profile.setup,
        "trap - ERR",
        "study_ready=1",
    ]


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
