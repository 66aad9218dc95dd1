"""The script of an array, composed by submitit."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import Any

from study.errors import StudyError
from study.launch.slurm.profile import Profile

__all__ = ["parse_job_id", "script"]

NAMES = {
    "partition": "partition",
    "account": "account",
    "qos": "qos",
    "constraint": "constraint",
    "exclude": "exclude",
    "time": "time",
    "nodes": "nodes",
    "cpus": "cpus_per_task",
}
"""Fields of a profile, and what submitit calls them."""


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
        If Slurm is not installed here, or would misread the folder's name.
    """
    if "%" in str(folder):
        raise StudyError(f"{folder}: sbatch reads % in the name of a log as a sign; move the runs")
    executor = _executor(folder)
    given = {theirs: getattr(profile, ours) for ours, theirs in NAMES.items()}
    additional: dict[str, Any] = {
        **profile.sbatch,
        # submitit's own would obey an environment variable that our tasks do not know.
        "signal": f"USR2@{profile.signal_seconds}",
        "requeue": True,
    }
    if memory:
        additional["mem"] = f"{round(memory * 1024)}M"
    if profile.reservation:
        additional["reservation"] = profile.reservation
    exports = {"PYTHONPATH": _path(snapshot)}
    for name in ("STUDY_DATA", "STUDY_RUNS"):
        if value := os.environ.get(name):
            exports[name] = str(Path(value).expanduser().absolute())
    # Explicitly, since not every cluster passes the environment on.
    setup = [f"export {name}={shlex.quote(value)}" for name, value in exports.items()]
    # A job that was to inherit nothing would hand nothing on to its step either.
    setup.append("unset SLURM_EXPORT_ENV")
    # Since Slurm 22.05 srun does not take over the cores a task that sbatch was asked for.
    arguments = ["--export=ALL"]
    if profile.cpus:
        arguments.append(f"--cpus-per-task={profile.cpus}")
    if profile.processes > 1:
        arguments.append("--kill-on-bad-exit=1")
    executor.update_parameters(
        **{name: value for name, value in given.items() if value is not None},
        job_name=token,
        ntasks_per_node=profile.processes // profile.nodes,
        gpus_per_node=profile.gpus or None,
        wckey=None,
        array_parallelism=parallel or count,
        setup=[*profile.setup, *setup],
        srun_args=arguments,
        additional_parameters=additional,
    )
    executor.parameters["map_count"] = count
    return executor._make_submission_file_text(_command(folder), token)


def parse_job_id(answer: str) -> str | None:
    """Return the job's id from what ``sbatch`` printed, None if there is none in it."""
    from submitit import SlurmExecutor
    from submitit.core.utils import FailedSubmissionError

    try:
        return SlurmExecutor._get_job_id_from_submission_command(answer)
    except FailedSubmissionError:
        return None


def _executor(folder: Path) -> Any:
    from submitit import SlurmExecutor

    try:
        return SlurmExecutor(folder)
    except RuntimeError:  # no srun
        raise StudyError("Slurm is not installed here: no srun on the PATH") from None


def _command(folder: Path) -> str:
    # Not submitit's own, which waits for a pickle that is named by the job's id: a job whose id
    # never reached us would have no work. -P: no code from the folder in which sbatch was called.
    words = [sys.executable, "-P", "-u", "-m", "study.launch.slurm.task", str(folder)]
    return shlex.join(words)


def _path(snapshot: Path) -> str:
    inherited = os.environ.get("PYTHONPATH")
    return os.pathsep.join([str(snapshot), *([inherited] if inherited else [])])
