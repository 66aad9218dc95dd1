"""``study probe``: what a step of each configuration takes, at full size and without data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.commands.estimate import sentences
from study.commands.jobs import Options
from study.commands.select import (
    Device,
    Grids,
    Json,
    Mechanisms,
    OneDevice,
    Root,
    Smoke,
    runs_of,
)
from study.units import gibi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from study.runs.probe import Probe, Probes
    from study.runs.run import Run
    from study.screen import Screen

    Found = dict[str, Probe]

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(probe)


def probe(
    grids: Grids,
    cluster: Annotated[
        str | None,
        typer.Option(help="A profile of ~/.config/study/clusters.yaml: probe by a job there."),
    ] = None,
    option: Options = None,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Steps to time.", show_default="10 on a GPU, 2 on a CPU"),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(
            min=1, help="Among how many a run's batch is shared; a profile says it by its GPUs."
        ),
    ] = 1,
    device: OneDevice = None,
    again: Annotated[bool, typer.Option("--again", help="Also what was probed before.")] = False,
    mechanism: Mechanisms = None,
    smoke: Smoke = False,
    as_json: Json = False,
    root: Root = None,
) -> None:
    """Try some training steps of each configuration at full size, without data and weights.

    Inputs are made up. Each configuration has a process of its own; seeds share a probe. study plan
    counts hours by what it finds. With --cluster one short job does it, and the same command later
    shows what came of that. Exit code 1 if a probe failed, 3 if a job has still to make some.
    """
    from study.errors import StudyError
    from study.launch.clusters import launcher_of
    from study.runs.probe import FAILED, Probes, cells
    from study.screen import Screen
    from study.worker.probe import check

    runs = runs_of(grids, mechanism, None, smoke)
    distinct, probes = cells(runs), Probes(root)
    check(distinct)
    console = Screen()
    if cluster is None or not launcher_of(cluster).keeps_queue:
        if option:
            raise StudyError("--option is for a profile; name one by --cluster")
        found = _here(distinct, probes, steps, processes, device, again)
    else:
        if processes > 1 or device:
            raise StudyError("--processes and --device are for this machine; a profile says both")
        found = _there(distinct, probes, cluster, option or [], steps, again, console)
    if as_json:
        typer.echo(json.dumps([each.record for each in found.values()], ensure_ascii=False))
    else:
        _show(runs, found, root, console)
    failed = any(each.outcome == FAILED for each in found.values())
    raise typer.Exit(1 if failed else 0 if len(found) == len(distinct) else 3)


def _here(
    runs: Sequence[Run],
    probes: Probes,
    steps: int | None,
    processes: int,
    device: Device | None,
    again: bool,
) -> Found:
    """Probe on this machine; return what came of it, by configuration."""
    from study.launch.clusters import check_share
    from study.launch.gpus import visible_gpus
    from study.runs.probe import FAILED
    from study.screen import Screen
    from study.worker.probe import device_here, probe

    check_share(processes, runs, f"--processes {processes}")
    found: Found = {}
    with Screen(stderr=True).status("looking for a GPU") as shown:
        here = device_here(device or ("cuda" if visible_gpus() else "cpu"))
        name = here["device"]["name"]
        for number, run in enumerate(runs, 1):
            for known in () if again else probes.of(run):
                same = known.device == name and known.processes == processes
                if same and known.outcome != FAILED:
                    found[run.configuration] = known
            if run.configuration not in found:
                what = " at ".join(filter(None, (run.mechanism, ".".join(run.sites))))
                shown.update(f"probing {number} of {len(runs)} on {name}: {what}")
                found[run.configuration] = probe(run, here, probes, processes, steps)
    return found


def _there(
    runs: Sequence[Run],
    probes: Probes,
    cluster: str,
    option: list[str],
    steps: int | None,
    again: bool,
    console: Screen,
) -> Found:
    """Queue a job for what is missing; return what is there, by configuration."""
    from study.launch import probing
    from study.launch.clusters import check_processes, launcher_of
    from study.runs.probe import FAILED

    launcher = launcher_of(cluster)
    profile = launcher.profile(cluster, option)
    launcher.ready()
    check_processes(profile, cluster, runs)
    found, queued = probing.probed(runs, probes, cluster, profile), probing.waiting(probes)

    def settled(run: Run) -> bool:
        known = found.get(run.configuration)
        return known is not None and known.outcome != FAILED and not again

    free = [run for run in runs if run.configuration not in queued]
    jobs = {queued[run.configuration] for run in runs if run.configuration in queued}
    if missing := [run for run in free if not settled(run)]:
        jobs.add(probing.submit(missing, launcher, profile, cluster, probes, steps, console.print))
    where = probing.jobs_folder(probes)
    for job in sorted(jobs):
        console.print(f"{job} is to probe some; the same command shows what came of it")
        console.print(f"study status --runs {where}; study logs {job} --runs {where}")
    pending = {run.configuration for run in missing} | queued.keys()
    return {name: each for name, each in found.items() if name not in pending}


def _show(runs: Sequence[Run], found: Found, root: Path | None, console: Screen) -> None:
    """Print the tables, and what follows for the whole grids."""
    from study.runs.folder import SETTLED, RunFolder
    from study.runs.probe import MEASURED
    from study.runs.run import default_root
    from study.status.estimate import by_probes
    from study.status.states import states_of

    for table in _tables(runs, found):
        console.table(table)
    for each in found.values():
        if each.outcome != MEASURED:
            console.print(f"{each.label}: {each.outcome}: {each.record['error']}")
    for line in dict.fromkeys(_machine(each) for each in found.values()):
        console.print(line)
    where = root or default_root()
    states = states_of([RunFolder(where / run.id) for run in runs]).of
    missing = [run for run in runs if states[run.id] not in SETTLED]
    known = [run for run in missing if run.configuration in found]
    for line in sentences(by_probes(known, found)):
        console.print(line)


def _machine(probe: Probe) -> str:
    record = probe.record
    cuda = f", CUDA {record['cuda']}" if record["cuda"] else ""
    changed = " with changes" if record["dirty"] else ""
    return f"{probe.where}; torch {record['torch']}{cuda}; commit {record['commit'][:12]}{changed}"


def _tables(runs: Sequence[Run], found: Found) -> Iterator[Table]:
    """Yield a table for each grid and kind of input."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from study.runs.probe import MEASURED, cells

    for grid in dict.fromkeys(run.grid for run in runs):
        here = [run for run in cells(runs) if run.grid == grid and run.configuration in found]
        measured = [found[run.configuration] for run in here]
        measured = [each for each in measured if each.outcome == MEASURED]
        if not here:
            continue
        table = Table("mechanism", "sites", title=grid, box=SIMPLE_HEAD)
        gpu = any(each.on_gpu for each in measured)
        counted = "kernels" if gpu else "operators"
        for column in ("ms/step", "over none", "GiB", counted):
            table.add_column(column, justify="right", no_wrap=True)
        without = _without(here, found)
        for run in here:
            probe = found[run.configuration]
            words = [run.mechanism, ".".join(run.sites)]
            if probe.outcome != MEASURED:
                table.add_row(*words, probe.outcome)
                continue
            least = without.get(run.sites, without.get(()))
            share = ""
            if least is not None and probe.milliseconds and run.mechanism != "none":
                share = f"{1 - least / probe.milliseconds:.0%}"
            taken = [f"{probe.milliseconds:,.1f}", share]
            table.add_row(
                *words, *taken, gibi(probe.memory), f"{probe.record['probed']['kernels']:,}"
            )
        inputs = dict.fromkeys(each.record["probed"]["inputs"] for each in measured)
        if measured:
            table.caption = (
                f"a step of one process: {' or '.join(inputs)}; the median of {measured[0].steps}."
                " over none: the part of the step by which it is longer than without a mechanism."
                f" GiB: {'what torch took of the GPU' if gpu else 'the process, libraries too'}"
            )
        yield table


def _without(runs: Sequence[Run], found: Found) -> dict[tuple[str, ...], float]:
    """Return milliseconds without a mechanism, by sites."""
    from study.runs.probe import MEASURED

    return {
        run.sites: found[run.configuration].milliseconds
        for run in runs
        if run.mechanism == "none" and found[run.configuration].outcome == MEASURED
    }
