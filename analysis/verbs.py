"""The verbs of the analysis: ``study collect``, ``table``, ``plot`` and ``attend``.

Heavy imports stay inside the functions, so that ``study --help`` answers at once.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import pandas as pd

    from analysis.summary import Cell
    from study.folder import RunFolder

__all__ = ["register"]

WITHOUT = "none"
"""Baseline of all runs together, where no grid names one: the network without a mechanism."""


class Format(enum.StrEnum):
    """What ``study table`` can write."""

    MARKDOWN = "markdown"
    CSV = "csv"
    LATEX = "latex"


Grids = Annotated[
    list[Path] | None,
    typer.Argument(metavar="GRIDS", help="Grid files, or folders of them; none: every run."),
]
Runs = Annotated[
    Path | None, typer.Option(help="Run folders [default: $STUDY_RUNS or results/runs].")
]


def register(app: typer.Typer) -> None:
    """Add the verbs of this room to the command line."""
    app.command()(collect)
    app.command()(table)
    app.command()(plot)
    app.command()(attend)


def collect(
    grids: Grids = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="CSV file to write.")] = Path("results/runs.csv"),
) -> None:
    """Gather run folders into one CSV file, a row a run."""
    import pandas as pd

    from study.errors import StudyError

    root = _root(runs)
    frames = [_frame(question, root) for question in _questions(grids)]
    # A run that several grids ask for is one run.
    whole = pd.concat(frames, ignore_index=True).drop_duplicates("id")
    if whole.empty:
        raise StudyError(f"no runs under {root.resolve()}; {out} is left as it is")
    _write(out, whole.to_csv(index=False))
    broken = dict(pair for frame in frames for pair in frame.attrs["broken"])
    finished = int((whole["state"] == "completed").sum())
    print(f"{len(whole)} runs, {finished} completed -> {out}")
    for path, reason in broken.items():
        print(f"skipped {path}: {reason}")


def table(
    grids: Grids = None,
    runs: Runs = None,
    format: Annotated[Format, typer.Option(help="How to write it.")] = Format.MARKDOWN,
    out: Annotated[Path | None, typer.Option(help="File to write instead of the screen.")] = None,
) -> None:
    """Show accuracy beside cost: means over seeds, intervals, differences to the baseline."""
    from analysis.summary import summarise
    from analysis.table import RENDERERS

    summaries = []
    for question in _questions(grids):
        frame = _finished(question, _root(runs))
        for summary in summarise(frame, question.baseline, question.cells):
            # Two grids may differ in the recipe alone: their names tell the tables apart.
            variant = ", ".join(filter(None, (question.name, summary.variant)))
            summaries.append(replace(summary, variant=variant))
    text = RENDERERS[format.value](summaries)
    if out is None:
        print(text, end="")
        return
    _write(out, text)
    print(out)


def plot(
    grids: Grids = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("results/figures"),
) -> None:
    """Draw accuracy against the mechanism's cost, as PNG and SVG; a folder for each grid."""
    from analysis.plot import plot as draw

    for question in _questions(grids):
        frame = _finished(question, _root(runs))
        for path in draw(frame, out / question.name, question.baseline):
            print(path)


def attend(
    run: Annotated[str, typer.Argument(help="Run id, or the beginning or the end of one.")],
    source: Annotated[str, typer.Argument(help="An image file; for translation a sentence.")],
    query: Annotated[str | None, typer.Option(help="Pixel X,Y that looks (images).")] = None,
    layer: Annotated[str | None, typer.Option(help="Which block [default: the last].")] = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("results/attention"),
) -> None:
    """Draw where a trained run looks: over an image by term and head, or between two sentences."""
    from study.errors import StudyError, nearest
    from study.folder import find_run
    from study.look import look

    folder = find_run(_root(runs), run)
    pixel = _pixel(query) if query is not None else None
    arrays_file = out / f"{folder.path.name}.npz"
    look(folder, source, pixel, arrays_file)
    import numpy as np

    from analysis.attention_map import draw, layers

    with np.load(arrays_file) as file:
        arrays = {name: file[name] for name in file.files}
    names = layers(arrays)
    chosen = layer or names[-1]
    if chosen not in names:
        raise StudyError(f"no block {chosen!r} in this run{nearest(chosen, names)}")
    title = (folder.run or {})["label"]
    for path in draw(arrays, chosen, title, out / folder.path.name):
        print(path)


def _root(runs: Path | None) -> Path:
    from study.run import existing_root

    return existing_root(runs)


def _write(path: Path, text: str) -> None:
    """Write so that a full disk leaves the file of before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _pixel(text: str) -> tuple[int, int]:
    from study.errors import StudyError

    column, _, row = text.partition(",")
    if not (column.strip().isdecimal() and row.strip().isdecimal()):
        raise StudyError(f"--query is a pixel X,Y such as 120,64, not {text!r}")
    return int(column), int(row)


@dataclass(frozen=True)
class _Question:
    """What is asked about: the runs of one grid, or all there are."""

    name: str
    baseline: str | None
    command: str
    ids: list[str] | None = None
    cells: list[Cell] = field(default_factory=list)


def _questions(grids: list[Path] | None) -> list[_Question]:
    if not grids:
        return [_Question("", WITHOUT, "study run GRID")]
    from study.grid import find, load

    questions = []
    for path in find(grids):
        grid = load(path)
        asked = grid.runs()
        questions.append(
            _Question(
                grid.name,
                grid.baseline,
                f"study run {path}",
                [run.id for run in asked],
                [(run.task, tuple(run.sites), str(run.mechanism), run.seed) for run in asked],
            )
        )
    return questions


def _folders(question: _Question, runs: Path) -> list[RunFolder]:
    from study.archive import every_run

    folders = every_run(runs)
    if question.ids is None:
        return folders
    there = {folder.path.name: folder for folder in folders}
    return [there[name] for name in question.ids if name in there]


def _frame(question: _Question, runs: Path) -> pd.DataFrame:
    from analysis.collect import collect

    return collect(_folders(question, runs))


def _finished(question: _Question, runs: Path) -> pd.DataFrame:
    """The frame, once it holds something to show; what was skipped goes to standard error."""
    from study.errors import StudyError

    frame = _frame(question, runs)
    for path, reason in frame.attrs["broken"]:
        typer.echo(f"skipped {path}: {reason}", err=True)
    if not (frame["state"] == "completed").any():
        whose = f" of grid {question.name}" if question.name else ""
        raise StudyError(f"no finished run{whose} under {runs}; start with: {question.command}")
    return frame
