"""What ``--cluster`` means: a launcher, and what it gives a run."""

from __future__ import annotations

import json
from collections.abc import Iterable

from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.launch.protocol import Launcher, Profile, find_launcher, launcher_names
from study.runs.run import Run

__all__ = ["check_processes", "check_share", "default_cluster", "launcher_of"]


def default_cluster() -> str:
    """Return what no ``--cluster`` means: the launcher that keeps a queue.

    `StudyError` if several are installed.
    """
    names = [name for name in launcher_names() if find_launcher(name).keeps_queue]
    if len(names) != 1:
        raise StudyError(f"--cluster must name one of the launchers: {', '.join(names)}")
    return names[0]


def launcher_of(cluster: str) -> Launcher:
    """Return the launcher that `cluster` belongs to.

    If it belongs to none, a launcher that keeps a queue: its `profile` will say what is missing.
    """
    launchers = [find_launcher(name) for name in launcher_names()]
    owners = [each for each in launchers if cluster in each.clusters()]
    return (owners or [each for each in launchers if each.keeps_queue])[0]


def check_processes(profile: Profile, cluster: str, runs: Iterable[Run]) -> None:
    """Refuse more processes a run than can share its batch, by ``Recipe.share`` of its task.

    Raises
    ------
    StudyError
        With the grid, the numbers, and which numbers of processes would do.
    """
    a_node = profile.processes // profile.nodes
    check_share(
        profile.processes,
        runs,
        f"a run has {profile.processes} by the profile {cluster!r}"
        f" (nodes: {profile.nodes}, processes a node: {a_node})",
    )


def check_share(processes: int, runs: Iterable[Run], why: str) -> None:
    """Refuse so many processes a run if they cannot share its batch; `why` there are so many."""
    if processes == 1:
        return
    recipes = {json.dumps([run.grid, run.science["recipe"]]): run for run in runs}
    for run in recipes.values():
        try:
            find_task(run.task).Recipe.model_validate(run.science["recipe"]).share(processes)
        except ValueError as error:
            raise StudyError(f"{run.grid}: {error}; {why}") from None
