"""The live table of ``study run`` and ``study watch``: a row a run, its progress and time to go."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from types import TracebackType

from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from study.files import BrokenFile
from study.launch.jobs import Answers
from study.runs.folder import RunFolder
from study.screen import Screen
from study.status.pace import Paces, newest, share
from study.status.rows import science_of, tally
from study.status.signs import Sign, ago, sign_of
from study.status.states import DONE, States, states_of

__all__ = ["Progress"]

REFRESH_SECONDS = 1.0
ASK_SECONDS = 10.0  # between two questions to a scheduler, which has others to serve
IDLE_SHARE = (
    5  # pauses last this many times as long as a refresh, which takes a second for 10,000 runs
)
STYLES = {"completed": "green", "running": "cyan", "planned": "dim", "queued": "dim"}
COLUMNS = (
    *("task", "mechanism", "seed", "state"),
    *("progress", "left", "last sign", "loss", "metric"),
)
# The first is left out first.
DISPENSABLE = ("progress", "task", "loss", "metric", "left", "last sign")
RANKS = {"running": 0, DONE: 2}  # which runs are shown first if there is no room for all; others: 1


class Progress:
    """Shows how runs get on: a live table on a terminal, one line a change of state elsewhere.

    Parameters
    ----------
    folders: sequence of RunFolder
        What to show.
    console: Screen
        Where to.
    every: float
        Seconds between two refreshes; a scheduler is asked at most every `ASK_SECONDS`.
    said: Answers, optional
        What the launchers said a moment ago.
    """

    def __init__(
        self,
        folders: Sequence[RunFolder],
        console: Screen,
        every: float = REFRESH_SECONDS,
        said: Answers | None = None,
    ) -> None:
        self.folders, self.console, self.every = folders, console, every
        self.states, self.refreshes = States(), 0
        self.live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._next, self._asked, self._said = 0.0, time.monotonic(), said
        self._paces = Paces()

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
        """Read the states and draw them anew, if it is time."""
        began = time.monotonic()
        if began < self._next:
            return
        before, self.states = self.states, self._states_now(began)
        if self.live:
            self.live.update(self._table(), refresh=True)
        else:
            self._tell(before)
        took = time.monotonic() - began
        self._next = began + max(self.every, IDLE_SHARE * took)
        self.refreshes += 1

    def _states_now(self, now: float) -> States:
        # A finished run stays finished: no need to look again.
        done = [f for f in self.folders if self.states.of.get(f.path.name) == DONE]
        left = [f for f in self.folders if self.states.of.get(f.path.name) != DONE]
        recent = self._said if now - self._asked < ASK_SECONDS else None
        states = states_of(left, recent)
        if states.said is not recent:
            self._said, self._asked = states.said, now
        for folder in done:
            name = folder.path.name
            states.of[name], states.seen[name] = DONE, self.states.seen[name]
        names = [folder.path.name for folder in self.folders]
        return states.only(names)

    def _tell(self, before: States) -> None:
        """Write a line for each change; at first only for what is running."""
        for name, state in self.states.of.items():
            if before.of.get(name, "planned" if state == "running" else state) == state:
                continue
            label = _label(self.states.seen[name])
            line = f"{state:<10} {label}  {_metric(self.states.seen[name], state)}"
            self.console.print(line.rstrip())

    def _table(self) -> Table:
        """Return the table, without the columns that a narrow terminal has no room for."""
        rows = [self._row(name) for name in self._shown()]
        for left_out in range(len(DISPENSABLE) + 1):
            table = Table(box=None, caption=self._caption())
            columns = [name for name in COLUMNS if name not in DISPENSABLE[:left_out]]
            for column in columns:
                folded = column == "mechanism"
                table.add_column(column, no_wrap=not folded, overflow="fold")
            for row in rows:
                table.add_row(*(row[column] for column in columns))
            if self.console.fits(table):
                break
        return table

    def _row(self, name: str) -> dict[str, RenderableType]:
        state, folder = self.states.of[name], self.states.seen[name]
        science = science_of(self.states, name)
        train = newest(folder.path / "metrics.jsonl", "train")
        done = 1.0 if state == DONE else share(science, train)
        left = self._paces.seconds_left(folder, science, train) if state == "running" else None
        sign = sign_of(folder) if state == "running" else None
        return {
            "task": science.get("task", ""),
            "mechanism": science.get("mechanism", name),
            "seed": str(science.get("seed", "")),
            "state": Text(state, STYLES.get(state, "red")),
            "progress": ProgressBar(total=1.0, completed=done, width=16),
            "left": "" if left is None else str(timedelta(seconds=round(left))),
            "last sign": _sign(sign) if sign else "",
            "loss": f"{train['loss']:.3f}" if train and "loss" in train else "",
            "metric": _metric(folder, state),
        }

    def _shown(self) -> list[str]:
        """Return the runs for which there is room, in order; running ones are preferred."""
        room = max(5, self.console.height - 5)
        names = [n for n, state in self.states.of.items() if state not in ("planned", "queued")]
        ranked = sorted(names, key=lambda name: -RANKS.get(self.states.of[name], 1))
        chosen = {*ranked[-room:]}
        return [name for name in names if name in chosen]

    def _caption(self) -> str:
        notes = [f"note: {trouble}" for trouble in self.states.trouble]
        return "\n".join([tally(self.states), *notes])


def _sign(sign: Sign) -> Text:
    return Text(f"{ago(sign.seconds)} ago", "red" if sign.overdue else "")


def _label(folder: RunFolder) -> str:
    try:
        return str((folder.run or {}).get("label", folder.path.name))
    except BrokenFile:
        return folder.path.name


def _metric(folder: RunFolder, state: str) -> str:
    result = folder.result if state == DONE else None
    if result:
        return f"{result['metric']} {result['metrics'].get(result['metric'], float('nan')):.3f}"
    return ""
