"""The live table of ``study run`` and ``study watch``: a row a run, its progress, time to go."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from plugins.contracts.tasks import metric_of
from study.files import BrokenFile
from study.launch.jobs import Answers
from study.runs.folder import RunFolder
from study.screen import Screen
from study.status.pace import Paces, newest, share
from study.status.remaining import Remaining
from study.status.rows import science_of, shown, tally
from study.status.signs import Sign, ago, sign_of
from study.status.states import DONE, States, states_of
from study.units import duration

__all__ = ["Progress"]

REFRESH_SECONDS = 1.0
ASK_SECONDS = 10.0  # between two questions to a scheduler, which has others to serve
IDLE_SHARE = (
    5  # pauses last this many times as long as a refresh, which takes a second for 10,000 runs
)
STYLES = {"completed": "green", "running": "cyan", "planned": "dim", "queued": "dim"}
COLUMNS = (
    *("task", "data", "mechanism", "sites", "seed", "state"),
    *("progress", "left", "last sign", "loss", "metric"),
)
TELLING = ("task", "data", "sites")
"""Columns that are shown where the runs differ in them; two rows alike would tell nothing."""
# The first is left out first.
DISPENSABLE = ("progress", "loss", "metric", "last sign", "left")
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
        self._paces, self._remaining = Paces(), Remaining()

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
            folder = self.states.seen[name]
            line = f"{shown(state, folder):<10} {_label(folder)}  {_metric(folder, state)}"
            self.console.print(line.rstrip())

    def _table(self) -> Table:
        """Return the table, without the columns that a narrow terminal has no room for."""
        lefts = {name: self._left(name) for name, s in self.states.of.items() if s == "running"}
        rows = [self._row(name, lefts.get(name)) for name in self._shown()]
        alike = [name for name in TELLING if len({str(row[name]) for row in rows}) < 2]
        caption = self._caption(lefts)
        for left_out in range(len(DISPENSABLE) + 1):
            table = Table(box=None, caption=caption)
            hidden = {*alike, *DISPENSABLE[:left_out]}
            columns = [name for name in COLUMNS if name not in hidden]
            for column in columns:
                folded = column == "mechanism"
                table.add_column(column, no_wrap=not folded, overflow="fold")
            for row in rows:
                table.add_row(*(row[column] for column in columns))
            if self.console.fits(table):
                break
        return table

    def _left(self, name: str) -> float | None:
        folder, science = self.states.seen[name], science_of(self.states, name)
        return self._paces.seconds_left(folder, science, newest(folder, "train"))

    def _row(self, name: str, left: float | None) -> dict[str, RenderableType]:
        state, folder = self.states.of[name], self.states.seen[name]
        science, running = science_of(self.states, name), state == "running"
        train = newest(folder, "train")
        done = 1.0 if state == DONE else share(science, train)
        sign = sign_of(folder) if running else None
        doing = self._paces.phase(folder, science) if running else shown(state, folder)
        return {
            "task": science.get("task", ""),
            "data": (science.get("recipe") or {}).get("data", ""),
            "mechanism": science.get("mechanism", name),
            "sites": ".".join(science.get("sites", ())),
            "seed": str(science.get("seed", "")),
            "state": Text(doing, STYLES.get(state, "red")),
            "progress": ProgressBar(total=1.0, completed=done, width=16),
            "left": "" if left is None else duration(left),
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

    def _caption(self, lefts: Mapping[str, float | None]) -> str:
        notes = [f"note: {trouble}" for trouble in self.states.trouble]
        done, total = sum(s == DONE for s in self.states.of.values()), len(self.states.of)
        left = self._remaining.seconds(self.states, lefts)
        whole = f"{done} of {total} done" + (f", about {duration(left)} left" if left else "")
        return "\n".join([whole, tally(self.states), *notes])


def _sign(sign: Sign) -> Text:
    return Text(f"{ago(sign.seconds)} ago", "red" if sign.overdue else "")


def _label(folder: RunFolder) -> str:
    try:
        return str((folder.run or {}).get("label", folder.path.name))
    except BrokenFile:
        return folder.path.name


def _metric(folder: RunFolder, state: str) -> str:
    result, run = (folder.result, folder.run) if state == DONE else (None, None)
    if not result or not run:
        return ""
    name, value = result["metric"], result["metrics"].get(result["metric"], math.nan)
    return f"{name} {metric_of(run['science']['task'], name).format(value)}"
