"""The live table of ``study run``: a row a run, with progress and time to go."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from study.folder import RunFolder

__all__ = ["PatientConsole", "Progress"]

TAIL_BYTES = 8192  # of metrics.jsonl, enough for its newest lines
REFRESH_SECONDS = 1.0
STYLES = {"completed": "green", "running": "cyan", "planned": "dim"}


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
    """

    def __init__(self, folders: Sequence[RunFolder], console: Console) -> None:
        self.folders, self.console = folders, console
        self.runs = {folder.path: folder.run or {} for folder in folders}
        self.states: dict[Path, str] = {}
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._drawn = 0.0

    def __enter__(self) -> Progress:
        if self.live:
            self.live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._drawn = 0.0
        self.refresh()
        if self.live:
            self.live.__exit__(kind, error, trace)

    def refresh(self) -> None:
        """Draw anew, at most once a second."""
        now = time.monotonic()
        if now - self._drawn < REFRESH_SECONDS:
            return
        self._drawn = now
        before, self.states = self.states, {f.path: self._state(f) for f in self.folders}
        if self.live:
            self.live.update(self._table(), refresh=True)
            return
        for folder in self.folders:
            state = self.states[folder.path]
            if before.get(folder.path) != state and state != "planned":
                label = self.runs[folder.path].get("label", folder.path.name)
                line = f"{state:<10} {label}  {_metric(folder, state)}"
                self.console.print(line, soft_wrap=True, markup=False)

    def _state(self, folder: RunFolder) -> str:
        # A finished run stays finished: no need to look again.
        known = self.states.get(folder.path)
        return known if known == "completed" else folder.condition()

    def _table(self) -> Table:
        table = Table("task", "mechanism", "seed", box=None)
        for column in ("state", "progress", "left", "loss", "metric"):
            table.add_column(column, no_wrap=True)
        table.columns[1].no_wrap = True
        shown = [f for f in self.folders if self.states[f.path] != "planned"]
        room = max(5, self.console.height - 5)
        for folder in shown[-room:]:
            state = self.states[folder.path]
            train = _newest(folder.path / "metrics.jsonl", "train")
            epochs = self.runs[folder.path]["science"]["recipe"].get("epochs", 1)
            share = 1.0 if state == "completed" else (train or {}).get("epoch", 0) / epochs
            science = self.runs[folder.path]["science"]
            table.add_row(
                science["task"],
                science["mechanism"],
                str(science["seed"]),
                f"[{STYLES.get(state, 'red')}]{state}[/]",
                ProgressBar(total=1.0, completed=share, width=16),
                _remaining(folder, share) if state == "running" else "",
                f"{train['loss']:.3f}" if train else "",
                _metric(folder, state),
            )
        waiting = sum(state == "planned" for state in self.states.values())
        table.caption = f"{waiting} waiting" if waiting else None
        return table


def _remaining(folder: RunFolder, share: float) -> str:
    """Return the time to go, from this attempt's pace; empty before the first metrics."""
    submission = (folder.attempts[-1].submission or {}) if folder.attempts else {}
    if not share or "time" not in submission:
        return ""
    spent = time.time() - submission["time"]
    return str(timedelta(seconds=round(spent * (1 - share) / share)))


def _metric(folder: RunFolder, state: str) -> str:
    result = folder.result if state == "completed" else None
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
        if record.get("split") == split:
            return record
    return None
