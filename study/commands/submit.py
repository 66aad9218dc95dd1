"""``study submit``, ``study retry`` and ``study cancel``."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands.complete import clusters
from study.commands.select import (
    Grids,
    Mechanisms,
    Names,
    Root,
    Seeds,
    Smoke,
    SomeGrids,
    Unfit,
    Wanted,
    notes,
    runs_of,
    select,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from study.launch.protocol import Launcher, Order, Outcome, Profile
    from study.runs.folder import RunFolder
    from study.runs.run import Run
    from study.screen import Screen
    from study.status.states import States

__all__ = ["register"]

CONFIRM_ABOVE = 20  # runs to cancel or train again without asking

EVERY_SECONDS = 300.0

RETRIED = ("failed", "oom", "killed", "timeout", "preempted", "lost")

Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        autocompletion=clusters,
        help="A launcher or a profile of ~/.config/study/clusters.yaml; slurm if not given.",
    ),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", help="KEY=VALUE instead of the profile's, as time=4:00:00."),
]
Parallel = Annotated[int | None, typer.Option(min=1, help="Jobs at a time.")]
Pack = Annotated[int, typer.Option(min=1, help="Runs a job, side by side.")]
Slots = Annotated[int, typer.Option(min=1, help="With --cluster local: runs at a time.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command()(submit)
    app.command()(retry)
    app.command()(cancel)


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
    for each cause. Failed runs are not; see study retry. Exit code 0 if nothing is left to submit,
    1 if a file of a run is torn, 3 if the queue had no room for all.
    """
    from study import data
    from study.data import weights
    from study.errors import StudyError
    from study.grid.changed import changed_data, changed_recipes
    from study.launch.clusters import check_processes, default_cluster, launcher_of
    from study.launch.fits import check_fit, check_items, unfinished
    from study.launch.gpus import visible_gpus
    from study.launch.protocol import SchedulerAway
    from study.runs.folder import RunFolder
    from study.runs.probe import Probes
    from study.runs.run import elsewhere, open_folder, root_to_fill
    from study.screen import Screen
    from study.status.rows import error_of

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
    profile = _profile(launcher, cluster, option, max_parallel, pack)
    check_processes(profile, cluster, runs)
    left = unfinished(runs, where)
    for line in check_fit(left, Probes(root), profile.processes, cluster, unfit):
        console.print(line)
    order = _order(where, profile, pack, runs, console)
    folders = [RunFolder(where / run.id) for run in runs]
    if dry_run:
        due, states = _due(folders, profile)
        for line in weights.lacking(weights.needed(_of(runs, due)), grids):
            typer.echo(line, err=True)
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
        try:
            waiting = _submit(launcher, due, order, states, console)
        except SchedulerAway as error:
            if not until_done:
                raise
            console.print(f"note: {error}")
            waiting = True
        if not until_done or not (waiting or _pending(folders)):
            for name in broken:
                console.print(
                    f"broken {name}: a file in its folder is torn or lacks something; move the"
                    f" folder away: {error_of(states.seen[name])}"
                )
            raise typer.Exit(3 if waiting else 1 if broken else 0)
        time.sleep(EVERY_SECONDS)


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

    With --cluster local it trains in the foreground, as study run does.
    """
    from study.data import weights
    from study.launch.clusters import check_processes, default_cluster, launcher_of
    from study.runs.run import Run, existing_root
    from study.screen import Screen
    from study.status.progress import Progress

    console = Screen()
    _refuse(state, RETRIED, "trained again")
    cluster = cluster or default_cluster()
    launcher, where = launcher_of(cluster), existing_root(root).resolve()
    if launcher.keeps_queue:
        profile = _profile(launcher, cluster, option, max_parallel, pack)
    else:
        profile = launcher.profile(cluster, [f"slots={slots}"])
    folders, states = select(grids, root, list(state or RETRIED), mechanism, seed, run)
    runs = [Run(record["grid"], record["science"]) for f in folders if (record := f.run)]
    check_processes(profile, cluster, runs)
    _agree(folders, states, "train again", yes, console)
    weights.fetch(weights.needed(run.science for run in runs), grids or (), console.print)
    order, said = _order(where, profile, pack, runs, console), states.said
    if launcher.keeps_queue:
        raise typer.Exit(3 if _tell(launcher.submit(folders, order, said), console) else 0)
    with Progress(folders, console) as progress:
        order = dataclasses.replace(order, refresh=progress.refresh)
        outcome = launcher.submit(folders, order, said)
    raise typer.Exit(130 if outcome.stopped else 0)


def cancel(
    grids: SomeGrids = None,
    state: Wanted = None,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    run: Names = None,
    yes: Yes = False,
    root: Root = None,
) -> None:
    """End runs that are queued or running; they leave their checkpoints.

    After that study submit leaves them alone; study retry continues them.
    """
    from study.launch.cancel import cancel as end
    from study.screen import Screen

    console = Screen()
    _refuse(state, ("queued", "running"), "cancelled")
    folders, states = select(
        grids, root, list(state or ("queued", "running")), mechanism, seed, run
    )
    _agree(folders, states, "cancel", yes, console)
    for line in end(folders, states.said):
        console.print(line)


def _profile(
    launcher: Launcher,
    cluster: str,
    option: list[str] | None,
    max_parallel: int | None,
    pack: int,
) -> Profile:
    """Return what a run may use; StudyError if that, or any submission, is impossible."""
    from study.errors import StudyError

    more = [f"max_parallel={max_parallel}"] if max_parallel else []
    profile = launcher.profile(cluster, [*(option or ()), *more])
    if pack > 1 and profile.processes > 1:
        raise StudyError(
            f"--pack {pack} is for runs of one process each; this profile trains a run with "
            f"{profile.processes}"
        )
    launcher.ready()
    return profile


def _order(root: Path, profile: Profile, pack: int, runs: Sequence[Run], console: Screen) -> Order:
    from plugins.contracts.tasks import package_of
    from study.launch.protocol import Order

    packages = [package_of(task) for task in dict.fromkeys(run.task for run in runs)]
    return Order(root, profile, pack, packages, console.print)


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
    found = [f for f in folders if due(f, states.of[f.path.name], states.said, profile)]
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


def _pending(folders: Sequence[RunFolder]) -> bool:
    from study.status.states import states_of

    return bool({"queued", "running"} & set(states_of(folders).of.values()))


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
    return _tell(launcher.submit(due, order, states.said), console)


def _tell(outcome: Outcome, console: Screen) -> bool:
    for job, runs in outcome.jobs.items():
        console.print(f"job {job}: {len(runs)} runs")
    for token, runs in outcome.unanswered.items():
        console.print(
            f"{token}: {len(runs)} runs; the scheduler did not say whether it has them. "
            "study status will know once it answers; submit again then"
        )
    if outcome.taken:
        console.print(f"{len(outcome.taken)} runs were begun by somebody else meanwhile")
    if outcome.waiting:
        console.print(
            f"{len(outcome.waiting)} runs are left: the queue takes no more now. Submit again later"
        )
    return bool(outcome.waiting or outcome.unanswered)


def _refuse(states: list[str] | None, fit: tuple[str, ...], what: str) -> None:
    from study.errors import StudyError, nearest

    for state in states or ():
        if state not in fit:
            hint = nearest(state, fit)
            raise StudyError(f"--state: {state!r} is no state of runs that can be {what}{hint}")


def _agree(
    folders: Sequence[RunFolder], states: States, what: str, yes: bool, console: Screen
) -> None:
    """End the command if there is nothing to do, or much to do and the user does not agree."""
    if not folders:
        console.print(f"nothing to {what}")
        raise typer.Exit
    told = ", ".join(f"{count} {state}" for state, count in states.count().items())
    if len(folders) > CONFIRM_ABOVE and not yes:
        typer.confirm(f"{what} {len(folders)} runs ({told})?", abort=True)
