"""``study evaluate``: the metrics of weights from a file, beside the published ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from study.commands import complete
from study.commands.select import Device, Json
from study.errors import StudyError, nearest

if TYPE_CHECKING:
    from rich.table import Table

    from plugins.contracts.task import Task
    from study.runs.run import Run

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(evaluate)


def evaluate(
    grid: Annotated[
        Path, typer.Argument(help="Grid file that the model is in, or a folder of such files.")
    ],
    checkpoint: Annotated[
        str,
        typer.Option(help="A file, a URL, or a name of MMDetection's model index."),
    ],
    mechanism: Annotated[
        str | None,
        typer.Option(
            help="Which of the grid's models, if it has several.",
            autocompletion=complete.mechanisms,
        ),
    ] = None,
    sites: Annotated[
        str | None, typer.Option(help="At which sites, if at several; such as conv4.conv5.")
    ] = None,
    device: Annotated[Device, typer.Option(help="What to compute on.")] = Device.CPU,
    smoke: Annotated[
        bool, typer.Option("--smoke", help="The checkpoint is that of a run with --smoke.")
    ] = False,
    items: Annotated[
        Path | None,
        typer.Option(help="A file to write what the metric is made of, as items.npz of a run."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Evaluate a checkpoint of a run, or a published one, as a run is evaluated. Trains nothing."""
    from rich.text import Text

    from plugins.contracts.tasks import find_task
    from plugins.training.checkpoints import few
    from study.grid.reading import find, load
    from study.screen import Screen
    from study.worker.evaluate import evaluate

    if not checkpoint.strip():
        raise StudyError("--checkpoint is empty; give a file, a URL, or a published name")
    grids = [load(path) for path in find([grid])]
    run = _cell([r for g in grids for r in (g.smoke() if smoke else g).runs()], mechanism, sites)
    status = f"evaluating {run.mechanism} on {run.data}"
    with Screen(stderr=True).status(status) as shown:
        found = evaluate(
            run, checkpoint, device, lambda line: shown.update(Text(f"{status}\n{line}")), items
        )
    if as_json:
        cell = {"mechanism": run.mechanism, "sites": run.sites, "data": run.data}
        typer.echo(json.dumps({"checkpoint": checkpoint, **cell, **found}, indent=1))
        return
    lines = [" · ".join(filter(None, (run.mechanism, ".".join(run.sites), run.data)))]
    lines += [f"published as {found['name']}"] if found["name"] else []
    lines += [f"evaluated otherwise than published: {note}" for note in found["notes"]]
    if found["trained"]:
        lines.append(f"trained with other values than the grid's: {few(found['trained'])}")
    console = Screen()
    for line in lines:
        console.print(line)
    console.table(_table(find_task(run.task), found))


def _cell(runs: list[Run], mechanism: str | None, sites: str | None) -> Run:
    """Return a run of the chosen cell; its seed does not matter."""
    from plugins.attention.core.word import Word

    if mechanism is not None:
        valid = {run.mechanism for run in runs}
        try:
            word = str(Word.parse(mechanism))
        except ValueError as error:
            raise StudyError(f"--mechanism: {error}") from None
        if word not in valid:
            raise StudyError(f"--mechanism: the grid has no {word!r}{nearest(word, valid)}")
        runs = [run for run in runs if run.mechanism == word]
    words = list(dict.fromkeys(run.mechanism for run in runs))
    if len(words) > 1:
        raise StudyError(f"the grid has {len(words)} models; choose by --mechanism {_one(words)}")
    places = list(dict.fromkeys(".".join(run.sites) for run in runs))
    if sites is not None:
        if sites not in places:
            raise StudyError(f"--sites: {words[0]} stands at {_one(places)}, not {sites!r}")
        places = [sites]
    if len(places) > 1:
        raise StudyError(f"{words[0]} stands at several sites; choose by --sites {_one(places)}")
    there = [run for run in runs if ".".join(run.sites) == places[0]]
    meant = {run.configuration: run for run in reversed(there)}
    if len(meant) > 1:
        names = [run.grid for run in reversed(meant.values())]
        raise StudyError(f"{words[0]} is in several grids; name the file of {_one(names)}")
    return there[0]


def _one(words: list[str]) -> str:
    return ", ".join(words[:-1]) + (" or " if len(words) > 1 else "") + words[-1]


def _table(task: Task, found: dict[str, Any]) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    published = found["published"]
    table = Table("metric", box=SIMPLE_HEAD)
    table.add_column("here", justify="right")
    if published:
        table.add_column("published", justify="right")
    for name, value in found["metrics"].items():
        metric = task.metric(name)
        there = metric.format(published[name]) if name in published else ""
        table.add_row(metric.shown, metric.format(value), *([there] if published else []))
    return table
