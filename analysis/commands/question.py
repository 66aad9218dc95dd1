"""What a verb of the analysis is asked about: the runs of some grids, or all there are.

Heavy imports stay inside the functions, so that ``study --help`` answers at once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from analysis.stats.group import Cell
    from study.runs.folder import RunFolder
    from study.screen import Screen

__all__ = [
    *("Format", "Grids", "Out", "Question", "Runs", "Structured", "Table"),
    *(
        "HOW",
        "WITHOUT",
        "answered",
        "emit",
        "finished",
        "folders",
        "frame",
        "questions",
        "root",
        "union",
    ),
    *("terminal", "writable"),
]

WITHOUT = "none"
"""Baseline of all runs together, where no grid names one: the network without a mechanism."""

Grids = Annotated[
    list[Path] | None,
    typer.Argument(metavar="GRIDS", help="Grid files, or folders of them; none: every run."),
]
Runs = Annotated[
    Path | None, typer.Option(help="Run folders.", show_default="$STUDY_RUNS or results/runs")
]
Table = Annotated[
    Path | None,
    typer.Option(
        "--table",
        metavar="FILE",
        help="Runs table of `study collect`, Parquet or CSV, to read instead of run folders.",
    ),
]


class Format(enum.StrEnum):
    """What a table for reading, or for a paper, can be written as."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"


class Structured(enum.StrEnum):
    """What an answer that has more than one table can be written as."""

    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"


HOW = "How to write it; Markdown if it is not for a terminal."

ENDINGS = {
    "markdown": (".md", ".markdown", ".txt"),
    "csv": (".csv",),
    "latex": (".tex",),
    "json": (".json",),
}
"""How the names of files end that are written in a format; another ending is another format."""

Out = Annotated[Path | None, typer.Option(help="File to write instead of the screen.")]


@dataclass(frozen=True)
class Question:
    """What is asked about: the runs of one grid, or all there are."""

    name: str
    baseline: str | None
    command: str
    ids: list[str] | None = None
    cells: list[Cell] = field(default_factory=list)
    file: Path | None = None


def questions(grids: list[Path] | None) -> list[Question]:
    """Return one question for each grid file; one about every run if there is no grid."""
    if not grids:
        return [Question("", WITHOUT, "study run GRID")]
    from study.grid.reading import find, load

    asked = []
    for path in find(grids):
        grid = load(path)
        runs = grid.runs()
        asked.append(
            Question(
                grid.name,
                grid.baseline,
                f"study run {path}",
                [run.id for run in runs],
                [(run.task, tuple(run.sites), str(run.mechanism), run.seed) for run in runs],
                path,
            )
        )
    return asked


def root(runs: Path | None) -> Path:
    """Return where the run folders are."""
    from study.runs.run import existing_root

    return existing_root(runs)


def frame(question: Question, runs: Path, table: Path | None = None) -> pd.DataFrame:
    """Return the runs table of a question; ``attrs["broken"]`` tells what could not be read.

    Parameters
    ----------
    question: Question
        Whose runs are wanted, in its order.
    runs: Path
        The run folders; unused, and perhaps missing, where there is a table.
    table: Path, optional
        A file that ``study collect`` wrote.
    """
    if table is None:
        from analysis.runs.collect import collect

        return collect(folders(question, runs))
    from analysis.runs.table import read

    whole = read(table)
    if question.ids is None:
        return whole
    place = {name: number for number, name in enumerate(question.ids)}
    there = whole[whole["id"].isin(place)]
    return there.sort_values("id", key=lambda ids: ids.map(place), ignore_index=True)


def finished(question: Question, runs: Path, table: Path | None = None) -> pd.DataFrame:
    """Return the frame, once it holds something to show; tell on stderr what was skipped.

    Raises
    ------
    StudyError
        If no run of the question has finished.
    """
    from study.errors import StudyError

    there = frame(question, runs, table)
    for path, reason in there.attrs["broken"]:
        typer.echo(f"skipped {path}: {reason}", err=True)
    if not (there["state"] == "completed").any():
        whose = f" of grid {question.name}" if question.name else ""
        if table is not None:
            raise StudyError(f"no finished run{whose} in {table}; bring it up: study collect")
        raise StudyError(f"no finished run{whose} under {runs}; start with: {question.command}")
    return there


def answered(
    grids: list[Path] | None, runs: Path | None, table: Path | None = None
) -> list[tuple[Question, pd.DataFrame]]:
    """Return what `finished` returns for each question; name those without an answer on stderr.

    Raises
    ------
    StudyError
        If no question has one.
    """
    from study.errors import StudyError

    base = root(runs) if table is None else Path()
    found, empty = [], []
    for question in questions(grids):
        try:
            found.append((question, finished(question, base, table)))
        except StudyError as error:
            if question.ids is None:
                raise
            empty.append(str(error))
    if not found:
        raise StudyError("\n".join(empty))
    for reason in empty:
        typer.echo(f"left out: {reason}", err=True)
    return found


def union(frames: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return the runs of all frames in one, each run once."""
    import pandas as pd

    return pd.concat(frames, ignore_index=True).drop_duplicates("id", ignore_index=True)


def terminal(format: enum.StrEnum | None, out: Path | None) -> Screen | None:
    """Return the terminal where an answer is to be shown on one; None for a file or a pipe."""
    import sys

    from study.screen import Screen

    return Screen() if format is None and out is None and sys.stdout.isatty() else None


def writable(out: Path | None, format: enum.StrEnum) -> None:
    """Refuse a file that cannot be written, or whose name is not that of its format.

    Raises
    ------
    StudyError
        Before anything has been computed.
    """
    from study.errors import StudyError

    if out is None:
        return
    if out.is_dir():
        example = out / f"table{ENDINGS[format][0]}"
        raise StudyError(f"--out {out} is a folder; name a file, such as {example}")
    if not out.suffix or out.suffix in ENDINGS[format]:
        return
    for other in type(format):
        if out.suffix in ENDINGS[other]:
            raise StudyError(f"--out {out} is to be written as {format}; add --format {other}")
    valid = ", ".join(ending for each in type(format) for ending in ENDINGS[each])
    raise StudyError(f"--out {out}: {out.suffix} is none of the formats; valid: {valid}")


def emit(text: str, out: Path | None) -> None:
    """Print a text, or write it into the file `out` and print the name of that."""
    from study.files import write_text

    if out is None:
        print(text, end="")
    else:
        write_text(out, text)
        print(out)


def folders(question: Question, runs: Path) -> list[RunFolder]:
    """Return the runs of a question that are there, archived ones included.

    Where no grid says which runs are meant, stderr says how many of them are archived.
    """
    from study.runs.archive import ArchivedRun, every_run, results_root

    everything = every_run(runs)
    if question.ids is None:
        if archived := sum(isinstance(folder, ArchivedRun) for folder in everything):
            typer.echo(f"{archived} of the runs are archived in {results_root()}", err=True)
        return everything
    there = {folder.path.name: folder for folder in everything}
    return [there[name] for name in question.ids if name in there]
