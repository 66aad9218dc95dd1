"""The live table of ``study run`` and ``study watch``: a row a run, its progress and time to go."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from study.files import BrokenFile
from study.runs.folder import RunFolder
from study.status.rows import tally
from study.status.states import DONE, States, look

if TYPE_CHECKING:
    from study.launch.slurm.queue import Queue

__all__ = ["PatientConsole", "Progress"]

TAIL_BYTES = 8192  # of metrics.jsonl, enough for its newest lines
REFRESH_SECONDS = 1.0
ASK_SECONDS = 10.0  # between two questions to a scheduler, which has others to serve
IDLE_SHARE = 5  # times as long as a look took nobody looks again: ten thousand runs take a second
STYLES = {"completed": "green", "running": "cyan", "planned": "dim", "queued": "dim"}
RANKS = {"running": 0, DONE: 2}  # what is shown where there is no room for all; the rest is between


class PatientConsole(Console):
    """A console whose program goes on when nobody reads any more, as behind ``| head``."""

    def on_broken_pipe(self) -> None:
        """Fall silent, where rich would end the program."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class Progress:
    """Shows how runs get on: a live table on a terminal, one line a change of state elsewhere.

    Parameters
    ----------
    folders: sequence of RunFolder
        What to show.
    console: Console
        Where to.
    every: float
        Seconds between two looks; a scheduler is asked at most every `ASK_SECONDS`.
    queue: Queue, optional
        What the scheduler said a moment ago.
    """

    def __init__(
        self,
        folders: Sequence[RunFolder],
        console: Console,
        every: float = REFRESH_SECONDS,
        queue: Queue | None = None,
    ) -> None:
        self.folders, self.console, self.every = folders, console, every
        self.states, self.looks = States(), 0
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._next, self._asked, self._queue = 0.0, time.monotonic(), queue

    def __enter__(self) -> Progress:
        if self.live:
            self.live.__enter__()
        self.refresh()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._next = 0.0
            self.refresh()
        if self.live:
            self.live.__exit__(kind, error, trace)

    def refresh(self) -> None:
        """Look and draw anew, if it is time."""
        began = time.monotonic()
        if began < self._next:
            return
        before, self.states = self.states, self._look(began)
        if self.live:
            self.live.update(self._table(), refresh=True)
        else:
            self._tell(before)
        took = time.monotonic() - began
        self._next = began + max(self.every, IDLE_SHARE * took)
        self.looks += 1

    def _look(self, now: float) -> States:
        # A finished run stays finished: no need to look again.
        done = [f for f in self.folders if self.states.of.get(f.path.name) == DONE]
        left = [f for f in self.folders if self.states.of.get(f.path.name) != DONE]
        recent = self._queue if now - self._asked < ASK_SECONDS else None
        states = look(left, recent)
        if states.queue is not recent:
            self._queue, self._asked = states.queue, now
        for folder in done:
            name = folder.path.name
            states.of[name], states.seen[name] = DONE, self.states.seen[name]
        names = [folder.path.name for folder in self.folders]
        return states.only(names)

    def _tell(self, before: States) -> None:
        """Write a line a change; at first only what is running."""
        for name, state in self.states.of.items():
            if before.of.get(name, "planned" if state == "running" else state) == state:
                continue
            label = _label(self.states.seen[name])
            line = f"{state:<10} {label}  {_metric(self.states.seen[name], state)}"
            self.console.print(line.rstrip(), soft_wrap=True, markup=False, highlight=False)

    def _table(self) -> Table:
        table = Table("task", "mechanism", "seed", box=None)
        for column in ("state", "progress", "left", "loss", "metric"):
            table.add_column(column, no_wrap=True)
        table.columns[1].no_wrap = True
        for name in self._shown():
            state, folder = self.states.of[name], self.states.seen[name]
            science = _science(folder)
            train = _newest(folder.path / "metrics.jsonl", "train")
            epochs = science.get("recipe", {}).get("epochs", 1)
            share = 1.0 if state == DONE else (train or {}).get("epoch", 0) / epochs
            table.add_row(
                science.get("task", name),
                science.get("mechanism", ""),
                str(science.get("seed", "")),
                f"[{STYLES.get(state, 'red')}]{state}[/]",
                ProgressBar(total=1.0, completed=min(share, 1.0), width=16),
                _remaining(folder, share) if state == "running" else "",
                f"{train['loss']:.3f}" if train and "loss" in train else "",
                _metric(folder, state),
            )
        table.caption = self._caption()
        return table

    def _shown(self) -> list[str]:
        """Choose the runs that have room, in their order: what is going on before what is over."""
        room = max(5, self.console.height - 5)
        names = [n for n, state in self.states.of.items() if state not in ("planned", "queued")]
        ranked = sorted(names, key=lambda name: -RANKS.get(self.states.of[name], 1))
        chosen = {*ranked[-room:]}
        return [name for name in names if name in chosen]

    def _caption(self) -> str:
        notes = [f"note: {trouble}" for trouble in self.states.trouble]
        return "\n".join([tally(self.states), *notes])


def _science(folder: RunFolder) -> dict[str, Any]:
    try:
        return (folder.run or {}).get("science") or {}
    except BrokenFile:
        return {}


def _label(folder: RunFolder) -> str:
    try:
        return str((folder.run or {}).get("label", folder.path.name))
    except BrokenFile:
        return folder.path.name


def _remaining(folder: RunFolder, share: float) -> str:
    """Return the time to go, from this attempt's pace; empty before the first metrics."""
    attempt = folder.newest
    started = ((attempt.start or attempt.submission) if attempt else None) or {}
    if not share or "time" not in started:
        return ""
    spent = time.time() - started["time"]
    return str(timedelta(seconds=round(spent * (1 - share) / share)))


def _metric(folder: RunFolder, state: str) -> str:
    result = folder.result if state == DONE else None
    if result:
        return f"{result['metric']} {result['metrics'].get(result['metric'], float('nan')):.3f}"
    return ""


def _newest(path: Path, split: str) -> dict[str, Any] | None:
    """Return the last record of a split, looking at the end of the file only."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
            lines = file.read().splitlines()
    except FileNotFoundError:
        return None
    for line in reversed(lines):
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the first line may be cut, the last torn
        if isinstance(record, dict) and record.get("split") == split:
            return record
    return None
