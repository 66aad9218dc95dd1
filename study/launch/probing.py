"""Have configurations probed by a job of a cluster.

The job is one more run folder, in ``.probes/jobs``, of a science configuration that asks for
probes. So whatever launchers, ``study status --runs`` and ``study logs --runs`` do for runs they do
for it.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from plugins.contracts.tasks import package_of
from study.errors import StudyError
from study.files import write_json
from study.launch.answers import ask
from study.launch.jobs import Answers
from study.launch.protocol import Launcher, Order, Profile
from study.runs.folder import SCHEMA, RunFolder, iter_runs
from study.runs.probe import Probe, Probes
from study.runs.run import Run, science_hash

__all__ = ["jobs_folder", "probed", "submit", "waiting"]

JOBS = "jobs"

MINUTES, MINUTES_EACH = 10, 3
"""What a job is given, and more for each configuration, if the profile gives as much."""


def jobs_folder(probes: Probes) -> Path:
    """Return the folder of the jobs, as ``--runs`` takes it."""
    return probes.folder / JOBS


def waiting(probes: Probes) -> dict[str, str]:
    """Return the job that is queued or running for a configuration, by the latter's hash."""
    folders = list(iter_runs(jobs_folder(probes)))
    said = ask(attempt for folder in folders if (attempt := folder.newest))
    return {
        Run(grid, science).configuration: folder.path.name
        for folder in folders
        if folder.condition(said.state) in ("queued", "running")
        for grid, science in (folder.run or {})["science"]["probes"]["runs"]
    }


def probed(runs: Sequence[Run], probes: Probes, cluster: str, profile: Profile) -> dict[str, Probe]:
    """Return what came of probes through a profile, by configuration."""
    return {
        run.configuration: each
        for run in runs
        for each in probes.of(run)
        if each.cluster == cluster and each.processes == profile.processes
    }


def submit(
    runs: Sequence[Run],
    launcher: Launcher,
    profile: Profile,
    cluster: str,
    probes: Probes,
    steps: int | None,
    tell: Callable[[str], object],
) -> str:
    """Queue one job that probes all the runs' configurations; return the name of its folder.

    It gets one process and one GPU; the recipe's batch is shared as among all that `profile` has.

    Raises
    ------
    StudyError
        If the queue does not take it.
    """
    science = {
        "task": "probe",
        "probes": {
            "runs": [[run.grid, run.science] for run in runs],
            "steps": steps,
            "processes": profile.processes,
            "cluster": cluster,
            "time": round(time.time(), 3),
        },
    }
    label = "probe-" + re.sub(r"[^A-Za-z0-9_-]+", "-", runs[0].grid)
    name = f"{label}-{science_hash(science)}"
    root = jobs_folder(probes).resolve()
    folder = RunFolder(root / name)
    record = {"schema": SCHEMA, "id": name, "label": label, "hash": science_hash(science)}
    write_json(
        folder.path / "run.json", {**record, "grid": f"probe/{runs[0].grid}", "science": science}
    )
    packages = [package_of(task) for task in dict.fromkeys(run.task for run in runs)]
    one = launcher.one_process(profile, MINUTES + MINUTES_EACH * len(runs))
    order = Order(root, one, packages=packages, tell=tell)
    outcome = launcher.submit([folder], order, Answers())
    if not outcome.jobs and not outcome.unanswered:
        raise StudyError("the queue takes no more jobs now; try again later")
    return name
