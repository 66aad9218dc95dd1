"""The log of a run as it grows, over the attempts that come, until nothing works on it any more."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from study.launch.protocol import NotInstalled, find_launcher
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder
from study.status.rows import told_by
from study.status.states import States, states_of

__all__ = ["Source", "follow", "source"]

POLL_SECONDS = 0.5
LOOK_SECONDS = 2.0
ASK_SECONDS = 10.0  # between two questions to a scheduler
CHUNK = 1 << 16


@dataclass(frozen=True)
class Source:
    """A file to show, and what must be said about it first."""

    path: Path
    note: str = ""


def source(folder: RunFolder, number: int | None, err: bool) -> Source | None:
    """Return what holds the wanted log now, None while nothing does.

    Parameters
    ----------
    folder: RunFolder
        The run.
    number: int, optional
        The attempt; else the framework's log over all attempts, or the newest attempt's if that is
        what there is.
    err: bool
        What the worker wrote to standard error, of the newest attempt unless `number` says which.
    """
    if number is None and not err and (path := folder.path / "train.log").exists():
        return Source(path)
    made = folder.attempts
    made = [attempt for attempt in made if number in (None, attempt.n)]
    if not made:
        return None
    attempt = made[-1]
    path = attempt.path / ("stderr" if err else "stdout")
    if path.exists():
        return Source(path)
    return _of_job(attempt, err) if attempt.by_job else None


def _of_job(attempt: Attempt, err: bool) -> Source | None:
    """Return the job's own log: what happened before the worker began, or instead of it."""
    try:
        log = find_launcher(str(attempt.launcher)).logs(attempt, err)
    except NotInstalled:
        return None
    note = "the training of this attempt has not begun; this is the job's own log"
    return Source(log, note) if log else None


def follow(
    folder: RunFolder,
    number: int | None,
    err: bool,
    write: Callable[[bytes], object],
    tell: Callable[[str], object],
) -> States:
    """Write what there is and what comes, as ``tail -F``; return the states when all is over.

    Another attempt's file is announced through `tell` and shown from its beginning, as is a file
    that was replaced or cut short.
    """
    reader, asked, looked = _Reader(write, tell), time.monotonic(), float("-inf")
    states, waiting, over = states_of([folder]), "", 0
    while True:
        reader.take(source(folder, number, err))
        if over or time.monotonic() - looked > LOOK_SECONDS:
            looked = time.monotonic()
            recent = states.said if looked - asked < ASK_SECONDS else None
            states = states_of([folder], recent)
            asked = asked if states.said is recent else looked
            said = _word(states, folder.path.name) if reader.source is None else ""
            if said and said != waiting:
                waiting = said
                tell(said)
            under_way = states.of[folder.path.name] in ("queued", "running")
            over = 0 if under_way else over + 1
            # The first time may be the moment between two attempts. By the second, what was
            # written after our last reading has been read too.
            if over == 2:
                return states
        time.sleep(POLL_SECONDS)


def _word(states: States, name: str) -> str:
    return f"{name} is {states.of[name]}" + (f": {told}" if (told := told_by(states, name)) else "")


class _Reader:
    """Shows what is new in a file, which may change into another one."""

    def __init__(self, write: Callable[[bytes], object], tell: Callable[[str], object]) -> None:
        self.write, self.tell = write, tell
        self.source: Source | None = None
        self._inode, self._position = -1, 0

    def take(self, now: Source | None) -> None:
        """Show what `now` has that was not shown yet."""
        if now is None:
            return
        if now != self.source:
            if self.source is not None or now.note:
                self.tell(f"==> {now.path}" + (f" ({now.note})" if now.note else ""))
            self.source, self._inode = now, -1
        for chunk in self._new(now.path):
            self.write(chunk)

    def _new(self, path: Path) -> Iterator[bytes]:
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return
        with file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._position:
                self._inode, self._position = status.st_ino, 0
            file.seek(self._position)
            while chunk := file.read(CHUNK):
                self._position += len(chunk)
                yield chunk
