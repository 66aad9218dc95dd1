"""Keep a served report up to date: look at the run folders, and build it anew when they changed."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path

from study.errors import StudyError

__all__ = ["Renewal", "signature"]

SHARE = 5  # of the time at most one part in so many is spent on building

WATCHED = ("run.json", "result.json", "metrics.jsonl", "note.json", "attempts")
"""What tells the state of a run. Logs grow all the time; the next change brings them along."""


def signature(runs: Path, files: Sequence[Path] = ()) -> Hashable:
    """Return what changes when a run in the folder `runs` does, or one of some more `files`.

    It opens no file, only asks for sizes and times.
    """
    return tuple(_times(runs, files))


def _times(runs: Path, files: Sequence[Path]) -> Iterator[tuple[str, int, int]]:
    for path in files:
        yield from _time(path)
    try:
        folders = sorted(entry.path for entry in os.scandir(runs) if entry.is_dir())
    except OSError:
        return
    for folder in folders:
        for name in WATCHED:
            yield from _time(Path(folder, name))
        try:
            # A file that appears in the folder of an attempt changes that folder's time.
            for attempt in os.scandir(Path(folder, "attempts")):
                yield from _time(Path(attempt.path))
        except OSError:
            continue


def _time(path: Path) -> Iterator[tuple[str, int, int]]:
    try:
        found = path.stat()
    except OSError:
        return
    yield str(path), found.st_size, found.st_mtime_ns


class Renewal(threading.Thread):
    """Builds a report again and again, in the background, until `stop`.

    Parameters
    ----------
    look: callable
        Returns the signature of what the report is about.
    build: callable
        Builds the report. An error is reported, and the old report stays.
    pause: float
        Seconds between two looks.
    seen: hashable
        The signature before the report that is there was built.
    """

    def __init__(
        self,
        look: Callable[[], Hashable],
        build: Callable[[], object],
        pause: float,
        seen: Hashable,
    ) -> None:
        super().__init__(daemon=True)
        self._look, self._build, self._pause = look, build, pause
        self._seen = seen
        self._ended = threading.Event()

    def run(self) -> None:
        """Look and build."""
        pause = self._pause
        while not self._ended.wait(pause):
            now = self._look()
            pause = self._pause
            if now == self._seen:
                continue
            self._seen = now
            begun = time.monotonic()
            try:
                self._build()
            except (StudyError, OSError) as error:
                print(f"the report stays as it was: {error}", file=sys.stderr, flush=True)
            pause = max(pause, (SHARE - 1) * (time.monotonic() - begun))

    def stop(self) -> None:
        """End after the build that is under way."""
        self._ended.set()
        self.join()
