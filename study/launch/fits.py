"""Say, before anything is queued, which runs do not fit: a GPU, a profile, or their data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from plugins.contracts.tasks import find_task
from study import data
from study.data import weights
from study.errors import StudyError
from study.launch.gpus import gpu_names
from study.launch.protocol import Profile
from study.runs.probe import MEASURED, MISFIT, Probe, Probes, cells
from study.runs.provenance import processor
from study.runs.run import Run

__all__ = ["check_fit", "check_gpus", "check_items", "devices_here", "unfinished"]

SHOWN = 10  # configurations in a message


def check_fit(
    runs: Sequence[Run], probes: Probes, processes: int, cluster: str | None, go_on: bool
) -> list[str]:
    """Return a line for each device on which some of the runs do not fit.

    What does not fit as a share among more processes than a run is to have does not fit among its
    own; what fits among fewer fits too.

    Parameters
    ----------
    runs: sequence of Run
        Those that are about to be carried out.
    probes: Probes
        What was probed.
    processes: int
        How many share the batch of a run.
    cluster: str, optional
        The profile that they go to; None for this machine.
    go_on: bool
        Whether the user wants them nevertheless.

    Raises
    ------
    StudyError
        If that was found on what the runs would be given: through the same profile, or on a device
        of the same name as one here.
    """
    certain: list[Probe] = []
    elsewhere: dict[str, list[Probe]] = {}
    here: tuple[str, ...] | None = None if cluster is None else ()
    for run in cells(runs):
        known = probes.of(run)
        small = [p for p in known if p.outcome == MISFIT and p.processes >= processes]
        if not small:
            continue
        here = devices_here() if here is None else here
        ours = [p for p in known if p.device in here or (cluster and p.cluster == cluster)]
        large = [p for p in known if p.outcome == MEASURED and p.processes <= processes]
        if any(p in ours for p in small) and not any(p in ours for p in large):
            certain.append(next(p for p in reversed(small) if p in ours))
        elif not large:
            elsewhere.setdefault(small[-1].where, []).append(small[-1])
    if certain and not go_on:
        raise StudyError(
            f"{_count(certain)} not fit into the memory of {certain[0].where}, as study probe found"
            f" out:\n{_listed(certain)}\nTake the batch in more parts or share it among more GPUs,"
            " choose others by --mechanism, or add --unfit to try these too"
        )
    said = {f"of {certain[0].where}": certain} if certain else {}
    said |= {f"of {where}; here it may be larger": found for where, found in elsewhere.items()}
    return [
        f"warning: {_count(found)} not fit into the memory {where}\n{_listed(found)}"
        for where, found in said.items()
    ]


def check_gpus(runs: Iterable[Run], profile: Profile, cluster: str) -> list[str]:
    """Return a line if runs of full scale go where they get no GPU.

    Those are the runs that start from pretrained weights, or learn from a published set that is
    prepared from its user's copy.
    """
    if profile.gpu_hours:
        return []
    one_each = {json.dumps([run.grid, run.task, run.science["recipe"]]): run for run in runs}
    large = [
        run for run in one_each.values() if data.from_copy(run.data) or weights.of(run.science)
    ]
    names = ", ".join(dict.fromkeys(run.grid for run in large))
    return [
        f"warning: --cluster {cluster} asks for no GPU, so that {names} would train on CPUs;"
        " docs/cluster.md, 'Add your cluster', says how a profile asks for GPUs"
    ] * bool(large)


def check_items(runs: Iterable[Run]) -> None:
    """Refuse recipes by whose batches a prepared training set makes no step.

    Raises
    ------
    StudyError
        With the grid, the data set and the numbers.
    """
    first = {json.dumps([run.grid, run.science["recipe"]]): run for run in runs}
    for run in first.values():
        items = data.training_items(run.data) if data.is_prepared(run.data) else None
        if items is None:
            continue
        try:
            find_task(run.task).Recipe.model_validate(run.science["recipe"]).check_items(items)
        except ValueError as error:
            raise StudyError(f"{run.grid}: recipe.data {run.data}: {error}") from None


def unfinished(runs: Sequence[Run], root: Path) -> list[Run]:
    """Return the runs without a result in `root`; one that may not be read counts as done."""
    return [run for run in runs if _lacks_result(root / run.id)]


def _lacks_result(folder: Path) -> bool:
    try:
        return not (folder / "result.json").exists()
    except PermissionError:
        return False


def _count(found: Sequence[Probe]) -> str:
    return f"{len(found)} configurations do" if len(found) > 1 else "1 configuration does"


def _listed(found: Sequence[Probe]) -> str:
    lines = [
        f"  {each.label}, the batch shared among {each.processes}"
        if each.processes > 1
        else f"  {each.label}"
        for each in found[:SHOWN]
    ]
    more = [f"  and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
    return "\n".join([*lines, *more])


def devices_here() -> tuple[str, ...]:
    """Return the names of this machine's GPUs, of its processor if it has none; without torch."""
    try:
        return tuple(gpu_names()) or (processor(),)
    except StudyError:  # whoever is to have a GPU is told
        return (processor(),)
