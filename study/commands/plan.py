"""``study plan``: what grids ask for, what is done, what the rest costs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands import complete
from study.commands.estimate import figures, sentences
from study.commands.select import Grids, Json, Mechanisms, Root, Seeds, Smoke, notes, runs_of
from study.units import gibi, giga, mega

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.table import Table

    from study.launch.protocol import Profile
    from study.launch.tariff import Tariff
    from study.runs.probe import Probe
    from study.runs.run import Run
    from study.screen import Screen
    from study.status.states import States

    Costs = dict[str, dict[str, Any]]
    Best = dict[str, Probe | None]

__all__ = ["register"]

ROWS_SHOWN = 100  # runs that are listed one by one


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(plan)


def plan(
    grids: Grids,
    cost: Annotated[bool, typer.Option(help="Build the models to count MACs.")] = True,
    cluster: Annotated[
        str | None,
        typer.Option(
            help="A profile of ~/.config/study/clusters.yaml: GPU-hours of a job a run, up to its"
            " time limit.",
            autocompletion=complete.clusters,
        ),
    ] = None,
    every_run: Annotated[
        bool, typer.Option("--all", help=f"A row a run also where these are over {ROWS_SHOWN}.")
    ] = False,
    mechanism: Mechanisms = None,
    seed: Seeds = None,
    smoke: Smoke = False,
    as_json: Json = False,
    root: Root = None,
) -> None:
    """List the runs of grids, what is done, MACs, parameters and hours. Changes no run."""
    from study.data import weights
    from study.grid.changed import changed_recipes
    from study.launch.fits import check_items
    from study.runs.folder import SETTLED, RunFolder
    from study.runs.probe import Probes
    from study.runs.run import root_to_fill
    from study.screen import Screen
    from study.status.estimate import estimate
    from study.status.rows import json_list
    from study.status.states import states_of
    from study.worker.measure import costs

    runs, console = runs_of(grids, mechanism, seed, smoke), Screen()
    check_items(runs)
    profile = _profile(cluster, runs) if cluster is not None else None
    where = root_to_fill(root, smoke)
    found = states_of([RunFolder(where / run.id) for run in runs])
    found.asked = {run.id: run for run in runs}
    notes(found)
    results = {run.id: found.seen[run.id].result for run in runs if found.of[run.id] == "completed"}
    known = {name: result["cost"] for name, result in results.items() if result}
    if cost:
        uncounted = [run for run in runs if run.id not in known]
        with Screen(stderr=True).status("counting the cost (--no-cost skips this)") as status:
            known |= costs(uncounted, progress=status.update)
    missing = [run for run in runs if found.of[run.id] not in SETTLED]
    probes, processes = Probes(root), profile.processes if profile else None
    told = estimate(missing, found, where, probes, cluster, processes)
    best = {run.id: probes.best(run, cluster, processes) for run in runs}
    hours = {"missing": len(missing), **figures(told)}
    if profile is not None:
        hours["cluster"] = {"profile": cluster, **_limits(profile, len(missing))}
    steps = _steps(runs)
    changed = changed_recipes([run for run in runs if found.of[run.id] == "planned"], where)
    lacking = weights.lacking(weights.needed(run.science for run in missing), grids)
    if as_json:
        rows = json_list([_row(run, found, known, best[run.id]) for run in runs])
        rest = {"states": found.count(), "hours": hours, "steps": steps, "changed": changed}
        rest["weights"] = lacking
        typer.echo(f'{{"runs": {rows},\n{json.dumps(rest, ensure_ascii=False)[1:]}')
        return
    singly = every_run or len(runs) <= ROWS_SHOWN
    tables = _listed if singly else _summed
    for table in tables(runs, found, known, best):
        console.table(table)
    lines = [
        *sentences(told, _tariff(profile)),
        *(f"{grid}: {step}" for grid, step in steps.items()),
        *changed,
        *lacking,
    ]
    _tell(found, hours, lines, console, profile)


def _steps(runs: Sequence[Run]) -> dict[str, str]:
    """Return what a step of each grid's optimizer learns from, as its task says it."""
    from plugins.contracts.tasks import find_task

    first = {run.grid: run for run in reversed(runs)}
    recipes = {
        grid: find_task(run.task).Recipe.model_validate(run.science["recipe"])
        for grid, run in reversed(first.items())
    }
    return {grid: recipe.step for grid, recipe in recipes.items() if recipe.step}


def _row(run: Run, found: States, known: Costs, probe: Probe | None) -> dict[str, Any]:
    from study.status.rows import row

    cost = known.get(run.id)
    counted = {key: cost[key] if cost else None for key in ("model", "mechanism")}
    return {
        **row(found, run.id),
        "cost": counted if cost else None,
        "probe": probe and {k: v for k, v in probe.record.items() if k != "science"},
    }


def _profile(cluster: str, runs: Sequence[Run]) -> Profile:
    """Return the profile; StudyError if it has more processes than can share a run's batch."""
    from study.errors import StudyError
    from study.launch.clusters import check_processes, launcher_of

    launcher = launcher_of(cluster)
    if not launcher.keeps_queue:
        raise StudyError(f"--cluster {cluster} has no time limit that hours could be counted by")
    profile = launcher.profile(cluster)
    check_processes(profile, cluster, runs)
    return profile


def _limits(profile: Profile, missing: int) -> dict[str, Any]:
    """Return what one job a run takes up to its limit, what that costs, and how many may follow."""
    from study.launch.retries import LIMITS

    gpu_hours = missing * profile.gpu_hours
    return {
        "gpu_hours_a_job_each": round(gpu_hours, 2),
        "node_hours_a_job_each": round(missing * profile.node_hours, 2),
        "cost_a_job_each": {
            unit: round(n, 2) for unit, n in _tariff(profile).of(gpu_hours).items()
        },
        "more_jobs_at_most": LIMITS["timeout"],
    }


def _tariff(profile: Profile | None) -> Tariff:
    from study.launch.tariff import Tariff

    return getattr(profile, "tariff", Tariff())  # not every launcher's profiles know one


def _tell(
    found: States,
    hours: dict[str, Any],
    lines: list[str],
    console: Screen,
    profile: Profile | None,
) -> None:
    from study.status.rows import tally

    console.print(tally(found))
    if limits := hours.get("cluster"):
        gpu, node = limits["gpu_hours_a_job_each"], limits["node_hours_a_job_each"]
        what = (
            f"{gpu:,.1f} GPU-hours{_tariff(profile).told(gpu)}"
            if gpu
            else f"{node:,.1f} node-hours, without GPUs"
        )
        console.print(
            f"{what}: {hours['missing']} runs, one job each up to {limits['profile']}'s time limit;"
            f" a run that needs longer goes on in up to {limits['more_jobs_at_most']} more"
        )
    for line in lines:
        console.print(line)


def _listed(runs: Sequence[Run], found: States, known: Costs, probes: Best) -> Iterator[Table]:
    """Yield a table a grid, a row a run."""
    for here, title, several in _grids(runs):
        probed = any(probes[run.id] for run in here)
        table = _table(title, ["mechanism", "seed", "state"], several, probed)
        for run in here:
            where = [".".join(run.sites)] if several else []
            cells = [run.mechanism, str(run.seed), found.of[run.id]]
            more = _probed(probes[run.id]) if probed else []
            table.add_row(*cells, *where, *_figures(known.get(run.id)), *more)
        yield table


def _summed(runs: Sequence[Run], found: States, known: Costs, probes: Best) -> Iterator[Table]:
    """Yield a table a grid, with a row for each mechanism and choice of sites."""
    for here, title, several in _grids(runs):
        probed = any(probes[run.id] for run in here)
        table = _table(title, ["mechanism", "runs", "states"], several, probed)
        cells: dict[tuple[str, str], list[Run]] = {}
        for run in here:
            cells.setdefault((run.mechanism, ".".join(run.sites)), []).append(run)
        for (mechanism, sites), members in cells.items():
            states = found.only([run.id for run in members]).count()
            told = ", ".join(f"{n} {state}" for state, n in states.items())
            # Seeds cost the same; take the first that was counted.
            cost = next((known[run.id] for run in members if run.id in known), None)
            where = [sites] if several else []
            more = _probed(probes[members[0].id]) if probed else []
            table.add_row(mechanism, str(len(members)), told, *where, *_figures(cost), *more)
        yield table


def _grids(runs: Sequence[Run]) -> Iterator[tuple[list[Run], str, bool]]:
    """Yield the runs of each grid, its title, and whether its runs differ in their sites."""
    for grid in dict.fromkeys(run.grid for run in runs):
        here = [run for run in runs if run.grid == grid]
        places = dict.fromkeys(".".join(run.sites) for run in here if run.sites)
        several = len(places) > 1
        yield here, " · ".join([grid, *([] if several else places)]), several


def _table(title: str, columns: list[str], several: bool, probed: bool) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    columns = [*columns, "sites"] if several else columns
    table = Table(*columns, title=title, box=SIMPLE_HEAD)
    figures = ["MACs", "params", "+MACs", "+params", *(["ms/step", "GiB"] if probed else [])]
    for column in figures:
        table.add_column(column, justify="right", no_wrap=True)
    table.caption = "MACs in G, parameters in M; + is what the mechanism adds"
    return table


def _probed(probe: Probe | None) -> list[str]:
    if probe is None:
        return ["", ""]
    if probe.outcome == "does not fit":
        return ["", probe.outcome]
    return [f"{probe.milliseconds:,.1f}", gibi(probe.memory)]


def _figures(cost: dict[str, Any] | None) -> list[str]:
    if cost is None:
        return ["", "", "", ""]
    model, mechanism = cost["model"], cost["mechanism"]
    each = (model, mechanism)
    return [write(of[key]) for of in each for key, write in (("macs", giga), ("parameters", mega))]
