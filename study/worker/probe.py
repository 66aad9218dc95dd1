"""Try some steps of configurations, each in a process of its own, so that its memory is clean."""

from __future__ import annotations

import dataclasses
import importlib
import os
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from plugins.contracts.task import Probes as CanProbe
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.files import write_json
from study.runs.code import git_state
from study.runs.folder import SCHEMA as RUN_SCHEMA
from study.runs.folder import RunFolder
from study.runs.probe import FAILED, MEASURED, MISFIT, SCHEMA, Probe, Probes
from study.runs.provenance import package_version, processor, threads
from study.runs.run import Run
from study.worker import device as devices
from study.worker.child import ask
from study.worker.job import job_without_data
from study.worker.result import out_of_memory, peak_memory

__all__ = ["STEPS", "check", "device_here", "probe", "probe_all", "probe_here"]

STEPS = {"cuda": 10, "cpu": 2}
"""Steps to time unless the user says so, by device."""


def check(runs: Iterable[Run]) -> None:
    """Raise StudyError if a task cannot be probed."""
    for name in dict.fromkeys(run.task for run in runs):
        if not isinstance(find_task(name), CanProbe):
            raise StudyError(
                f"the task {name!r} cannot be probed: it does not derive from Probes of"
                " plugins.contracts.task. Its finished runs say how long the others take"
            )


def device_here(kind: str) -> dict[str, Any]:
    """Describe the first GPU, or this machine's processor if `kind` is ``cpu``.

    Raises
    ------
    StudyError
        If a GPU is wanted and torch finds none.
    """
    device = {"kind": kind, "name": processor(), "memory_bytes": None, "threads": threads()}
    if kind == "cpu":
        return {"device": device, "torch": package_version("torch"), "cuda": None}
    gpu = ask(f"{__name__}:gpu_here", {})
    return {**gpu, "device": device | gpu["device"]}


def gpu_here() -> dict[str, Any]:
    """Describe the first GPU, in a process that has torch."""
    devices.use("cuda")
    torch: Any = importlib.import_module("torch")
    gpu = torch.cuda.get_device_properties(0)
    device = {"name": gpu.name, "memory_bytes": gpu.total_memory}
    return {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda}


def probe(
    run: Run,
    here: dict[str, Any],
    probes: Probes,
    processes: int = 1,
    steps: int | None = None,
    cluster: str | None = None,
) -> Probe:
    """Make some steps of a run's configuration, and keep what they took.

    Parameters
    ----------
    run: Run
        Its seed does not matter.
    here: dict
        What `device_here` says.
    probes: Probes
        Where to keep it.
    processes: int
        Among how many processes the recipe's batch is shared. The step is that of one of them.
    steps: int, optional
        How many to time; by default `STEPS`.
    cluster: str, optional
        The profile through which this is done.
    """
    kind = here["device"]["kind"]
    asked = {
        "science": run.science,
        "device": kind,
        "processes": processes,
        "steps": steps or STEPS[kind],
    }
    try:
        answer = ask(f"{__name__}:probe_here", asked)
    except StudyError as error:
        answer = {"outcome": FAILED, "error": str(error)}
    state = git_state()
    record = {
        "schema": SCHEMA,
        "configuration": run.configuration,
        "label": run.label.rpartition("-")[0],
        "grid": run.grid,
        "science": {key: value for key, value in run.science.items() if key != "seed"},
        "processes": processes,
        "cluster": cluster,
        **answer,
        **here,
        "commit": state["commit"],
        "dirty": state["dirty"],
        "time": round(time.time(), 3),
    }
    return probes.write(record)


def probe_here(science: dict[str, Any], device: str, processes: int, steps: int) -> dict[str, Any]:
    """Make the steps, in this process."""
    task = find_task(science["task"])
    assert isinstance(task, CanProbe)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        os.chdir(scratch)
        job, outputs = job_without_data(science, RunFolder(Path(scratch)), device)
        devices.use(device, job.recipe)
        # What a training does before its first step is done.
        job = dataclasses.replace(
            job, rank=0, world=processes, record=lambda *_, **__: None, recorded=lambda _: []
        )
        try:
            probed = task.probe(job, steps, outputs)
        except Exception as error:
            if out_of_memory(error):
                return {"outcome": MISFIT, "error": str(error)}
            raise
        finally:
            os.chdir("/")
    return {
        "outcome": MEASURED,
        "error": "",
        "probed": dataclasses.asdict(probed),
        "resident_bytes": peak_memory(),
    }


def probe_all(folder: RunFolder, attempt: int, device: str, started: float) -> None:
    """Carry out what ``probes`` in a job's science configuration asks for.

    A job that was stopped, and comes back, leaves out what it has probed already.
    """
    run = folder.run
    assert run is not None
    asked = run["science"]["probes"]
    probes, here = Probes(folder.path.parents[2]), device_here(device)
    for each in _missing(asked, probes):
        print(f"{datetime.now(UTC):%T} {each.label}", flush=True)
        found = probe(each, here, probes, asked["processes"], asked["steps"], asked["cluster"])
        print(f"  {found.outcome} {found.record['error']}", flush=True)
    write_json(
        folder.path / "result.json",
        {
            "schema": RUN_SCHEMA,
            "id": run["id"],
            "hash": run["hash"],
            **{key: {} for key in ("metrics", "untrained", "loss", "cost")},
            "metric": "",
            "seconds": round(time.time() - started, 3),
            "attempts": attempt,
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        },
    )


def _missing(asked: dict[str, Any], probes: Probes) -> Iterator[Run]:
    for grid, science in asked["runs"]:
        run = Run(grid, science)
        done = (each.time > asked["time"] for each in probes.of(run))
        if not any(done):
            yield run
