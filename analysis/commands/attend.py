"""``study attend``: where a trained run looks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import Runs, root

__all__ = ["attend"]


def attend(
    run: Annotated[str, typer.Argument(help="Run id, or any part of one.")],
    source: Annotated[str, typer.Argument(help="An image file; for translation a sentence.")],
    question: Annotated[
        str | None,
        typer.Argument(
            help="For question answering: what is asked about the image; or where phrases are"
            " grounded, a sentence with '[a phrase] in brackets'."
        ),
    ] = None,
    query: Annotated[
        str | None,
        typer.Option(help="Pixel X,Y of an image that looks.", show_default="the middle"),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Which block.", show_default="the last")] = None,
    runs: Runs = None,
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("results/attention"),
) -> None:
    """Draw where a trained run looks: over an image by term and head, or between two sentences."""
    from study.errors import StudyError, nearest
    from study.runs.folder import find_run
    from study.worker.look import look

    folder = find_run(root(runs), run)
    if question is not None and query is not None:
        raise StudyError("either a question looks or the pixel --query: leave one of them out")
    pixel = _pixel(query) if query is not None else None
    arrays_file = out / f"{folder.path.name}.npz"
    look(folder, source, question or pixel, arrays_file)
    import numpy as np

    from analysis.figures.attention_map import draw, layers

    with np.load(arrays_file) as file:
        arrays = {name: file[name] for name in file.files}
    if pixel is None and "query" in arrays:
        typer.echo("the middle of the image looks; --query X,Y names another pixel", err=True)
    names = layers(arrays)
    if not names:
        raise StudyError("the mechanism of this run has nothing to show")
    chosen = layer or names[-1]
    if chosen not in names:
        raise StudyError(f"no block {chosen!r} in this run{nearest(chosen, names)}")
    title = (folder.run or {})["label"]
    for path in draw(arrays, chosen, title, out / folder.path.name):
        print(path)


def _pixel(text: str) -> tuple[int, int]:
    from study.errors import StudyError

    column, _, row = text.partition(",")
    if not (column.strip().isdecimal() and row.strip().isdecimal()):
        raise StudyError(f"--query is a pixel X,Y such as 120,64, not {text!r}")
    return int(column), int(row)
