"""``study submit``: queue what is missing."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands.jobs import (
    Cluster,
    Options,
    Pack,
    Parallel,
    Slots,
    order_for,
    profile_for,
    tell,
)
from study.commands.select import Grids, Mechanisms, Root, Seeds, Smoke, Unfit, notes, runs_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from study.launch.protocol import Launcher, Order, Profile
    from study.runs.folder import RunFolder
    from study.runs.run import Run
    from study.screen import Screen
    from study.status.states import States

__all__ = ["register"]

EVERY_SECONDS = 300.0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(submit)


def submit(
    grids: Grids,
    cluster: Cluster = None,
    option: Options = None,
    max_parallel: Parallel = None,
    pack: Pack = 1,
    slots: Slots = 1,
    dry_run: Annotated[bool, typer.Option(help="Print the scripts; queue nothing.")] = False,
    until_done: Annotated[
        bool, typer.Option(help="Stay, and submit what is due every five minutes.")
    ] = False,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    smoke: Smoke = False,
    unfit: Unfit = False,
    root: Root = None,
) -> None:
    """Queue what is missing, and leave. It is safe to repeat: each run is queued once.

    Runs that were preempted, timed out, were lost or lacked memory are queued again, up to a limit
    for each cause. Failed runs are not; see study retry. Nodes on which runs end at once are left
    out, and what these cost does not count.

    Exit code 0 if all runs are completed, queued or running; 1 if some are left that nothing more
    is submitted for (failed, cancelled, tried as often as the limits say, or with a file that
    cannot be read); 3 if the queue had no room for all, or the scheduler did not answer. So it is
    with --until-done, which ends when nothing is queued or running: 0 if all are completed.
    """
    from study import data
    from study.data import weights
    from study.errors import StudyError
    from study.grid.changed import changed_data, changed_recipes
    from study.launch.clusters import check_processes, default_cluster, launcher_of
    from study.launch.fits import check_fit, check_gpus, check_items, unfinished
    from study.launch.gpus import visible_gpus
    from study.launch.protocol import SchedulerAway
    from study.runs.folder import RunFolder
    from study.runs.probe import Probes
    from study.runs.run import elsewhere, open_folder, root_to_fill
    from study.screen import Screen
    from study.status.rows import why_broken

    console = Screen()
    runs, where = runs_of(grids, mechanism, seed, smoke), root_to_fill(root, smoke)
    for name in dict.fromkeys(run.data for run in runs):
        data.verify(name)
    check_items(runs)
    cluster = cluster or default_cluster()
    launcher = launcher_of(cluster)
    if not launcher.keeps_queue:
        if dry_run or until_done or option or max_parallel or pack > 1:
            raise StudyError(
                f"--cluster {cluster} takes --slots and --runs; the rest is for a scheduler"
            )
        visible_gpus()  # what is wrong with them is said here, not in the log
        weights.fetch(weights.needed(_unsettled(runs, where)), grids, console.print)
        filters = [f"--mechanism={word}" for word in mechanism or ()]
        filters += [f"--seed={number}" for number in seed or ()]
        filters += ["--smoke"] * smoke + ["--unfit"] * unfit
        for line in check_fit(unfinished(runs, where), Probes(root), 1, None, unfit):
            console.print(line)
        _detach([*map(str, grids), "--slots", str(slots), *filters], slots, where, console)
        return
    profile = profile_for(launcher, cluster, option, max_parallel, pack)
    check_processes(profile, cluster, runs)
    left = unfinished(runs, where)
    unfitting = check_fit(left, Probes(root), profile.processes, cluster, unfit)
    for line in [*check_gpus(left, profile, cluster), *unfitting]:
        console.print(line)
    folders = [RunFolder(where / run.id) for run in runs]
    if dry_run:
        due, states = _due(folders, profile)
        for line in weights.lacking(weights.needed(_of(runs, due)), grids):
            typer.echo(line, err=True)
        order = order_for(where, profile, pack, runs, states, console)
        for text in launcher.scripts(due, order, states.said):
            typer.echo(text)  # rich would make a picture of gpu:a:1
        return
    for line in [*changed_recipes(runs, where), *changed_data(runs, where)]:
        console.print(line)
    if smoke:
        console.print(f"in {where}; study status{elsewhere(where)} shows what becomes of it")
    while True:
        due, states = _due(folders, profile)
        notes(states)
        weights.fetch(weights.needed(_of(runs, due)), grids, console.print)
        wanted = {folder.path for folder in due}
        broken = [name for name, state in states.of.items() if state == "broken"]
        for run in runs:
            # Compare existing folders with the grid, even if they are not needed now.
            there = (where / run.id).exists() and run.id not in broken
            if (where / run.id) in wanted or there:
                open_folder(run, where)
        order = order_for(where, profile, pack, runs, states, console)
        try:
            waiting = _submit(launcher, due, order, states, console)
        except SchedulerAway as error:
            if not until_done:
                raise
            console.print(f"note: {error}")
            waiting = True
        waiting |= not states.said.answered
        under_way = due or {"queued", "running"} & {*states.of.values()}
        if not until_done or not (waiting or under_way):
            for name in broken:
                console.print(f"broken {name}: {why_broken(states.seen[name])}")
            if waiting:
                raise typer.Exit(3)
            raise typer.Exit(1 if _stuck(states, wanted, console) else 0)
        time.sleep(EVERY_SECONDS)


def _detach(arguments: Sequence[str], slots: int, root: Path, console: Screen) -> None:
    """Start ``study run`` as a process that outlives this one and its terminal."""
    from study.launch.local.detach import detach
    from study.runs.run import elsewhere

    pid, log = detach(arguments, root)
    console.print(f"process {pid} trains {slots} at a time; its account: {log}")
    console.print(
        f"study watch{elsewhere(root)} shows it; kill {pid} ends it, and each run leaves its"
        " checkpoint"
    )


def _due(folders: Sequence[RunFolder], profile: Profile) -> tuple[list[RunFolder], States]:
    """Return the runs for which an attempt is due, and the states of all."""
    from study.launch.due import due
    from study.status.states import states_of

    states = states_of(folders)
    found = []
    for folder in folders:
        name = folder.path.name
        forgiven = states.nodes.forgiven.get(name, ())
        if due(folder, states.of[name], states.said, profile, forgiven):
            found.append(folder)
    return found, states


def _of(runs: Sequence[Run], folders: Sequence[RunFolder]) -> list[dict[str, Any]]:
    """Return the science configurations of the runs that have these folders."""
    names = {folder.path.name for folder in folders}
    return [run.science for run in runs if run.id in names]


def _unsettled(runs: Sequence[Run], root: Path) -> list[dict[str, Any]]:
    """Return the science configurations of the runs that are still to be trained."""
    from study.runs.folder import SETTLED, RunFolder
    from study.status.states import states_of

    states = states_of([RunFolder(root / run.id) for run in runs])
    return [run.science for run in runs if states.of[run.id] not in SETTLED]


def _submit(
    launcher: Launcher,
    due: Sequence[RunFolder],
    order: Order,
    states: States,
    console: Screen,
) -> bool:
    """Submit, and report the outcome; True if something is left to submit."""
    left = {state: n for state, n in states.count().items() if state != "planned"}
    if not due:
        console.print("nothing to submit: " + ", ".join(f"{n} {s}" for s, n in left.items()))
        if "oom" in left:
            console.print("more memory: a higher max_mem_gb, or study retry -o mem_gb=...")
        return False
    return tell(launcher.submit(due, order, states.said), console)


def _stuck(states: States, due: set[Path], console: Screen) -> bool:
    """Say which runs nothing more is submitted for; True if there are any."""
    from study.status.states import DONE, OPEN

    left = Counter[str]()
    for name, state in states.of.items():
        if state not in (DONE, *OPEN) and states.seen[name].path not in due:
            left[state] += 1
    if left:
        told = ", ".join(f"{count} {state}" for state, count in left.items())
        console.print(
            f"nothing more is submitted for {left.total()} of {len(states.of)} runs: {told};"
            " study status and study triage say why"
        )
    return bool(left)
