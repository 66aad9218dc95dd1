"""``study logs``: what a run, or one of its attempts, wrote."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from study.commands.select import Root, RunId, find, notes

if TYPE_CHECKING:
    from study.runs.folder import RunFolder

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command()(logs)


def logs(
    run: RunId,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Show what comes, until the run is over.")
    ] = False,
    attempt: Annotated[
        int | None, typer.Option(help="Which attempt.", show_default="newest")
    ] = None,
    err: Annotated[bool, typer.Option("--err", help="What the worker wrote to stderr.")] = False,
    root: Root = None,
) -> None:
    """Print the log of a run: what the framework wrote, over all attempts.

    With --attempt or --err, print what one attempt's process wrote. If a job's worker has not
    begun, print what the job itself wrote.
    """
    from study.errors import StudyError
    from study.runs.archive import ArchivedRun
    from study.status import follow as following

    folder = find(root, run)
    if isinstance(folder, ArchivedRun):
        raise StudyError(f"{folder.path.name} is archived in {folder.file}, its logs are not")
    _check(folder, attempt)
    if follow:
        # With a number there is one file; without it, later attempts count too.
        states = following.follow(folder, attempt, err, _write, _tell)
        notes(states)
        _tell(f"{folder.path.name} is {states.of[folder.path.name]}")
        return
    found = following.source(folder, attempt, err)
    if found is None:
        raise StudyError(_nothing(folder, attempt, err))
    if found.note:
        _tell(f"==> {found.path} ({found.note})")
    with found.path.open("rb") as file:
        while chunk := file.read(following.CHUNK):
            _write(chunk)
    newest = folder.newest
    if attempt is None and newest and newest.by_job and newest.path not in found.path.parents:
        own = following.source(folder, newest.n, err)
        if own is None or own.note:
            _tell(f"attempt {newest.n} has not begun to train; --attempt {newest.n} says more")


def _check(folder: RunFolder, number: int | None) -> None:
    from study.errors import StudyError

    made = [attempt.n for attempt in folder.attempts]
    if not made:
        raise StudyError(f"{folder.path.name} has not been started yet")
    if number is not None and number not in made:
        numbers = ", ".join(map(str, made))
        raise StudyError(f"{folder.path.name} has no attempt {number}; it has {numbers}")


def _nothing(folder: RunFolder, number: int | None, err: bool) -> str:
    """Say why there is no log."""
    from study.status.rows import told_by
    from study.status.states import states_of

    name = folder.path.name
    attempt = next(a for a in folder.attempts[::-1] if number in (None, a.n))
    if not attempt.by_job:
        path = attempt.path / ("stderr" if err else "stdout")
        return f"{path} does not exist: a run by hand writes to its terminal"
    states = states_of([folder])
    notes(states)
    why = f", {told}" if (told := told_by(states, name)) else ""
    return (
        f"attempt {attempt.n} of {name} has written nothing: the run is {states.of[name]}{why}; "
        "-f waits for it"
    )


def _write(chunk: bytes) -> None:
    # Write bytes as they are: a chunk may end within a character.
    sys.stdout.flush()
    sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
