"""``study retry``: train again what did not end well."""

from __future__ import annotations

import dataclasses

import typer

from study.commands.jobs import (
    Cluster,
    Options,
    Pack,
    Parallel,
    Slots,
    Yes,
    agree,
    order_for,
    profile_for,
    refuse,
    tell,
)
from study.commands.run import report
from study.commands.select import Mechanisms, Names, Root, Seeds, SomeGrids, Wanted, select

__all__ = ["register"]

RETRIED = ("failed", "oom", "killed", "timeout", "preempted", "lost")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(retry)


def retry(
    grids: SomeGrids = None,
    cluster: Cluster = None,
    option: Options = None,
    max_parallel: Parallel = None,
    pack: Pack = 1,
    slots: Slots = 1,
    state: Wanted = None,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    yes: Yes = False,
    root: Root = None,
) -> None:
    """Train again what did not end well, whatever its limit, from its last checkpoint.

    With --cluster local it trains in the foreground, and ends with the exit code of study run.
    Otherwise exit code 0 if all are queued, 3 if the queue had no room for all.
    """
    from study.data import weights
    from study.launch.clusters import check_processes, default_cluster, launcher_of
    from study.launch.fits import check_gpus
    from study.runs.run import Run, existing_root
    from study.screen import Screen
    from study.status.progress import Progress
    from study.status.rows import tally

    console = Screen()
    refuse(state, RETRIED, "trained again")
    cluster = cluster or default_cluster()
    launcher, where = launcher_of(cluster), existing_root(root).resolve()
    if launcher.keeps_queue:
        profile = profile_for(launcher, cluster, option, max_parallel, pack)
    else:
        profile = launcher.profile(cluster, [f"slots={slots}"])
    folders, states = select(grids, root, list(state or RETRIED), mechanism, seed, run)
    runs = [Run(record["grid"], record["science"]) for f in folders if (record := f.run)]
    check_processes(profile, cluster, runs)
    for line in check_gpus(runs, profile, cluster) if launcher.keeps_queue else ():
        console.print(line)
    agree(folders, states, "train again", yes, console)
    weights.fetch(weights.needed(run.science for run in runs), grids or (), console.print)
    order, said = order_for(where, profile, pack, runs, states, console), states.said
    if launcher.keeps_queue:
        raise typer.Exit(3 if tell(launcher.submit(folders, order, said), console) else 0)
    with Progress(folders, console) as progress:
        order = dataclasses.replace(order, refresh=progress.refresh)
        outcome = launcher.submit(folders, order, said)
    console.print(tally(progress.states))
    raise typer.Exit(130 if outcome.stopped else report(progress.states, console))
