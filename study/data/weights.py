"""Files of pretrained weights that runs start from: where they belong, and how they get there.

They lie in torch's cache, where other tools look for them too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from plugins.contracts.job import CheckpointError
from plugins.contracts.tasks import find_task
from plugins.contracts.weights import WeightsFile
from plugins.training.checkpoints import check_whole
from plugins.training.downloads import download
from study.errors import StudyError

__all__ = ["fetch", "fingerprints", "lacking", "needed", "of", "problem"]


def needed(sciences: Iterable[dict[str, Any]]) -> list[WeightsFile]:
    """Return the files that runs of science configurations start from, each once.

    Raises
    ------
    StudyError
        If a recipe names one that does not exist.
    """
    by_recipe = {(science["task"], str(science["recipe"])): science for science in sciences}
    return list(dict.fromkeys(file for science in by_recipe.values() for file in of(science)))


def of(science: dict[str, Any]) -> tuple[WeightsFile, ...]:
    """Return the files that a run of a science configuration starts from."""
    task = find_task(science["task"])
    try:
        return task.weights(task.Recipe.model_validate(science["recipe"]))
    except CheckpointError as error:
        raise StudyError(str(error)) from None


def problem(file: WeightsFile) -> str:
    """Say why a file cannot serve: that it is not there, or another one; empty if it can."""
    if not file.path.exists():
        return f"{file.path.name} is not in {file.path.parent}"
    try:
        check_whole(file.path)
    except CheckpointError as error:
        return str(error)
    return ""


def lacking(files: Sequence[WeightsFile], grids: Sequence[Path | str]) -> list[str]:
    """Return a line for each file that cannot serve, with the way out; fetches nothing.

    Parameters
    ----------
    files: sequence of WeightsFile
        What is needed.
    grids: sequence of Path or str
        The grids that need it, as the user named them.
    """
    found = {file: problem(file) for file in files}
    return [_line(file, said, grids) for file, said in found.items() if said]


def fetch(
    files: Sequence[WeightsFile],
    grids: Sequence[Path | str],
    tell: Callable[[str], None] = lambda line: None,
) -> None:
    """Download the files that are not there, and check all of them.

    Parameters
    ----------
    files, grids
        As in `lacking`.
    tell: callable
        Given a line before something takes its time.

    Raises
    ------
    StudyError
        If a file cannot be had, or is not the one that its name says.
    """
    for file in files:
        if file.url and not file.path.exists():
            tell(f"fetching {file.url} into {file.path.parent}")
            try:
                download(file.url, lambda: tell("another process is fetching it, waiting"))
            except CheckpointError as error:
                raise StudyError(_line(file, str(error), grids)) from None
        if said := problem(file):
            raise StudyError(_line(file, said, grids))


def fingerprints(science: dict[str, Any]) -> dict[str, dict[str, str]]:
    """Return name and SHA-256 of the files that a run starts from, which must be there."""
    found = {}
    for file in of(science):
        with file.path.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        found[file.name] = {"file": file.path.name, "sha256": digest}
    return found


def _line(file: WeightsFile, said: str, grids: Sequence[Path | str]) -> str:
    line = f"weights {file.name}: {said}"
    if not file.url or file.path.exists():
        return line
    command = " ".join(["study data weights", *map(str, grids or ["GRID"])])
    return (
        f"{line}. Where there is a network, `{command}` puts it there; or fetch {file.url} yourself"
        f" and put it into {file.path.parent} (TORCH_HOME names another place)"
    )
