"""Which runs a verb is about: the filters that all verbs share."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from study.commands import complete

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from study.runs.folder import RunFolder
    from study.runs.run import Run
    from study.status.states import States

__all__ = [
    "Device",
    "Grids",
    "Json",
    "Mechanisms",
    "Names",
    "OneDevice",
    "Root",
    "RunId",
    "Seeds",
    "Smoke",
    "SomeGrids",
    "Tags",
    "Unfit",
    "Wanted",
    "find",
    "notes",
    "runs_of",
    "select",
]


class Device(enum.StrEnum):
    """What to compute on."""

    CPU = "cpu"
    CUDA = "cuda"


Grids = Annotated[list[Path], typer.Argument(help="Grid files, or folders of them.")]
SomeGrids = Annotated[
    list[Path] | None,
    typer.Argument(help="Grid files, or folders of them; none: all runs there are."),
]
RunId = Annotated[
    str,
    typer.Argument(
        help="Run id, or any part of one that no other run has.", autocompletion=complete.run_ids
    ),
]
Root = Annotated[
    Path | None,
    typer.Option("--runs", help="Run folders.", show_default="$STUDY_RUNS or results/runs"),
]
Wanted = Annotated[
    list[str] | None,
    typer.Option(
        "--state",
        help="Only runs in this state; may be repeated.",
        autocompletion=complete.states,
    ),
]
Mechanisms = Annotated[
    list[str] | None,
    typer.Option(
        "--mechanism",
        help="Only this mechanism; may be repeated.",
        autocompletion=complete.mechanisms,
    ),
]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Only this seed; may be repeated.")]
Names = Annotated[
    list[str] | None,
    typer.Option(
        "--run",
        help="Only runs with this in their id; may be repeated.",
        autocompletion=complete.run_ids,
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only runs with this tag of study note; may be repeated."),
]
Smoke = Annotated[
    bool,
    typer.Option(
        "--smoke",
        help="Each configuration at toy width on embedded data: two steps, one seed, evaluated."
        " Does everything work?",
    ),
]
Unfit = Annotated[
    bool,
    typer.Option("--unfit", help="Also what study probe found not to fit into the GPU's memory."),
]
OneDevice = Annotated[
    Device | None,
    typer.Option("--device", help="Of this machine.", show_default="its GPUs, if it has any"),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def runs_of(
    grids: list[Path],
    mechanisms: list[str] | None = None,
    seeds: list[int] | None = None,
    smoke: bool = False,
) -> list[Run]:
    """Return the runs of all grids, or their smoke forms, each once and in order.

    Raises
    ------
    StudyError
        If none of the runs has a mechanism or a seed that was named.
    """
    from study.grid.reading import find, load

    words = _mechanisms(mechanisms or ())
    asked = [load(path) for path in find(grids)]
    everything = {r.id: r for grid in asked for r in (grid.smoke() if smoke else grid).runs()}
    cells = {run.id: (run.mechanism, run.seed) for run in everything.values()}
    hint = "; a smoke form has one seed only, the first of its grid" if smoke else ""
    return [everything[name] for name in _passing(cells, words, seeds or (), hint)]


def select(
    grids: list[Path] | None,
    root: Path | None,
    states: list[str] | None = None,
    mechanisms: list[str] | None = None,
    seeds: list[int] | None = None,
    names: list[str] | None = None,
    tags: list[str] | None = None,
) -> tuple[list[RunFolder], States]:
    """Return the folders of the runs that pass all filters, and their states.

    Without `grids` these are all runs in the folder of runs and all archived ones. With grids they
    include runs that have no folder yet.

    Raises
    ------
    StudyError
        If a state or a mechanism does not exist, no run passes a filter other than `states`, or
        there is no such folder of runs.
    """
    from study.errors import StudyError
    from study.runs.archive import every_run
    from study.runs.folder import STATES, RunFolder
    from study.runs.named import named
    from study.runs.run import existing_root
    from study.status.states import glance, states_of

    known = (*STATES, "broken")
    for state in states or ():
        _check(state, known)
    words = _mechanisms(mechanisms or ())
    where = existing_root(root)
    asked = {run.id: run for run in runs_of(grids)} if grids else {}
    there = [RunFolder(where / name) for name in asked] if grids else every_run(where)
    pool = [glance(folder) for folder in there]
    if pool and (words or seeds):
        found_cells = {f.path.name: _cell(f, asked.get(f.path.name)) for f in pool}
        cells = {name: cell for name, cell in found_cells.items() if cell}
        passing = {*_passing(cells, words, seeds or ())}
        pool = [f for f in pool if f.path.name in passing]
    if names and pool:
        ids = [folder.path.name for folder in pool]
        wanted = {name: named(ids, name) for name in names}
        for name in names:
            if not wanted[name]:
                raise StudyError(f"--run {name}: none of the {len(pool)} runs has that in its id")
        kept = {run for found in wanted.values() for run in found}
        pool = [folder for folder in pool if folder.path.name in kept]
    if tags and pool:
        pool = _tagged(pool, tags)
    found = states_of(pool)
    found.asked = asked
    chosen = [name for name, state in found.of.items() if not states or state in states]
    return [RunFolder(where / name) for name in chosen], found.only(chosen)


def find(root: Path | None, name: str) -> RunFolder:
    """Return the one run, archived or not, that has `name`, a part of its id.

    `StudyError` if there is none, or more than one.
    """
    from study.runs.archive import every_run, index
    from study.runs.folder import find_run
    from study.runs.named import named, the_one
    from study.runs.run import default_root

    where = root or default_root()
    if not named(index(where), name):
        return find_run(where, name)
    runs = {folder.path.name: folder for folder in every_run(where)}
    return runs[the_one(runs, name, str(where))]


def notes(states: States) -> None:
    """Report on standard error what the scheduler could not answer."""
    for trouble in states.trouble:
        typer.echo(f"note: the scheduler was no help, states may be old: {trouble}", err=True)


def _check(state: str, known: tuple[str, ...]) -> None:
    from study.errors import StudyError, nearest

    if state not in known:
        raise StudyError(f"--state: there is no state {state!r}{nearest(state, known)}")


def _mechanisms(words: Sequence[str]) -> set[str]:
    from plugins.attention.core.word import Word
    from study.errors import StudyError

    try:
        return {str(Word.parse(word)) for word in words}
    except ValueError as error:
        raise StudyError(f"--mechanism: {error}") from None


def _passing(
    cells: Mapping[str, tuple[str, int]], words: set[str], seeds: Sequence[int], hint: str = ""
) -> list[str]:
    """Return the names of the runs that pass both filters; `cells` has mechanism and seed of each.

    StudyError if no run has what a filter names, or none of those that pass the other one.
    """
    from study.errors import MOST_NAMES, StudyError, nearest

    mechanisms = {mechanism for mechanism, _ in cells.values()}
    numbers = sorted({seed for _, seed in cells.values()})
    for word in sorted(words - mechanisms):
        near = nearest(word, mechanisms)
        raise StudyError(f"--mechanism {word}: none of the {len(cells)} runs has it{near}")
    for seed in seeds:
        if seed not in numbers:
            few = len(numbers) <= MOST_NAMES
            valid = ", ".join(map(str, numbers)) if few else f"{numbers[0]} to {numbers[-1]}"
            raise StudyError(
                f"--seed {seed}: none of the {len(cells)} runs has it; valid: {valid}{hint}"
            )
    passing = {
        name: (mechanism, seed)
        for name, (mechanism, seed) in cells.items()
        if (not words or mechanism in words) and (not seeds or seed in seeds)
    }
    left = {value for cell in passing.values() for value in cell}
    for word in sorted(words - left):
        raise StudyError(f"--mechanism {word}: none of its runs has a seed that --seed names")
    for seed in seeds:
        if seed not in left:
            raise StudyError(f"--seed {seed}: none of its runs has what --mechanism names")
    return list(passing)


def _tagged(pool: Sequence[RunFolder], tags: Sequence[str]) -> list[RunFolder]:
    """Return the runs that have one of the tags; StudyError if a tag is on none."""
    from study.errors import StudyError, nearest
    from study.runs.note import note

    given = {folder.path.name: {*note(folder).tags} for folder in pool}
    known = set().union(*given.values())
    for tag in tags:
        if tag not in known:
            near = nearest(tag, known)
            raise StudyError(f"--tag {tag}: none of the {len(pool)} runs has it{near}")
    return [folder for folder in pool if given[folder.path.name] & {*tags}]


def _cell(folder: RunFolder, asked: Run | None) -> tuple[str, int] | None:
    """Return mechanism and seed; None if the run cannot be read."""
    from study.files import BrokenFile

    try:
        science = asked.science if asked else (folder.run or {})["science"]
        return science["mechanism"], science["seed"]
    except (BrokenFile, KeyError):
        return None
