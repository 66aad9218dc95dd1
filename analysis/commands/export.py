"""``study export``: runs for the tracker that a group already looks at."""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands.question import Grids, Runs, folders, questions, root

__all__ = ["export"]


class Tracker(enum.StrEnum):
    """Where to."""

    TENSORBOARD = "tensorboard"
    WANDB = "wandb"
    MLFLOW = "mlflow"


def export(
    grids: Grids = None,
    to: Annotated[Tracker, typer.Option(help="Whose format.")] = Tracker.TENSORBOARD,
    runs: Runs = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write into.", show_default="results/<tracker>")
    ] = None,
) -> None:
    """Write runs for TensorBoard, Weights & Biases (offline) or MLflow. Nothing leaves the machine.

    The tracker's package must be installed: tensorboardX, wandb or mlflow.
    """
    import importlib.util
    import pkgutil

    from analysis.export.written import told
    from study.errors import StudyError
    from study.screen import Screen
    from study.status.states import states_of

    module = f"analysis.export.{to}"
    needed = pkgutil.resolve_name(f"{module}:NEEDS")
    if importlib.util.find_spec(needed) is None:
        raise StudyError(f"--to {to} needs a package that is not installed: pip install {needed}")
    write, place = pkgutil.resolve_name(f"{module}:write"), out or Path("results") / to.value
    where = root(runs)
    asked = {f.path.name: f for question in questions(grids) for f in folders(question, where)}
    found = states_of([*asked.values()])
    begun = [name for name, state in found.of.items() if state != "planned"]
    if not begun:
        raise StudyError(f"no run under {where.resolve()} has begun; nothing is written")
    written, screen = 0, Screen(stderr=True)
    with screen.status("exporting") as status:
        for number, name in enumerate(begun):
            status.update(f"exporting {number} of {len(begun)}")
            try:
                run = told(found.seen[name], found.of[name])
            except StudyError as error:
                typer.echo(f"skipped {name}: {error}", err=True)
                continue
            last = write(run, place)
            written += 1
    how = pkgutil.resolve_name(module).__doc__ or ""
    print(f"{written} runs in {place}" + (f", the last {last}" if written == 1 else ""))
    print(how.partition("``")[2].partition("``")[0].replace("OUT", str(place)))
