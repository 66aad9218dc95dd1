"""The states of many runs at once, with one question to each scheduler for all of them."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.files import Unreadable
from study.launch.answers import ask
from study.launch.jobs import Answers
from study.launch.nodes import Nodes, survey
from study.runs import archive
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

if TYPE_CHECKING:
    from study.runs.run import Run

__all__ = ["DONE", "OPEN", "Glance", "States", "glance", "states_of"]

DONE = "completed"
OPEN = ("planned", "queued", "running")
"""States of runs that are under way or were not begun; all others need somebody."""


class Glance(RunFolder):
    """A run folder as it is now: each file is read once, however often it is asked for."""

    @functools.cached_property
    def run(self) -> dict[str, Any] | None:
        """``run.json``."""
        return super().run

    @functools.cached_property
    def result(self) -> dict[str, Any] | None:
        """``result.json``."""
        return super().result

    @functools.cached_property
    def newest(self) -> Attempt | None:
        """The newest attempt."""
        return super().newest

    @functools.cached_property
    def _paths(self) -> list[Path]:
        # With ten thousand runs pathlib would make many objects that nobody needs.
        try:
            with os.scandir(f"{self.path}/attempts") as entries:
                names = [entry.name for entry in entries if entry.name.isdecimal()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except PermissionError:
            raise Unreadable(self.path / "attempts") from None
        return [self.path / f"attempts/{name}" for name in sorted(names, key=int)]

    def _attempt_paths(self) -> list[Path]:
        return self._paths


def glance(folder: RunFolder) -> RunFolder:
    """Return a folder whose files are read once; an archived run is such a one."""
    known = isinstance(folder, archive.ArchivedRun | Glance)
    return folder if known else Glance(folder.path)


@dataclass
class States:
    """What became of some runs.

    Attributes
    ----------
    of: dict
        The condition of each run, by the name of its folder.
    said: Answers
        What the launchers said of the runs that jobs execute.
    seen: dict
        What was read of each run: a `Glance`, or an `archive.ArchivedRun` where that counts.
    asked: dict
        The runs of the grids that were asked about, by id; empty where none were named.
    whole: States, optional
        The states of which these are a part: nodes are judged by all of them.
    """

    of: dict[str, str] = field(default_factory=dict)
    said: Answers = field(default_factory=Answers)
    seen: dict[str, RunFolder] = field(default_factory=dict)
    asked: dict[str, Run] = field(default_factory=dict)
    whole: States | None = None

    @functools.cached_property
    def nodes(self) -> Nodes:
        """What the attempts tell of the nodes that they were on."""
        if self.whole is not None:
            return self.whole.nodes
        archived = archive.ArchivedRun
        of = {name: of for name, of in self.of.items() if not isinstance(self.seen[name], archived)}
        return survey(self.seen, of, self.said)

    @property
    def trouble(self) -> list[str]:
        """What could not be asked; the states are then as the records have them."""
        return self.said.trouble

    @property
    def code(self) -> int:
        """Exit code for scripts: 0 all completed, 1 something needs attention, 3 not yet done."""
        present = {*self.of.values()}
        if present - {DONE, *OPEN}:
            return 1
        return 3 if present - {DONE} else 0

    @property
    def archived(self) -> int:
        """How many of the completed runs are known from their archive alone."""
        done = [self.seen[name] for name, state in self.of.items() if state == DONE]
        return sum(isinstance(folder, archive.ArchivedRun) for folder in done)

    def count(self) -> dict[str, int]:
        """Return how many runs are in each state."""
        return dict(Counter(self.of.values()))

    def only(self, names: Sequence[str]) -> States:
        """Return the same for some of the runs."""
        chosen = {name: self.of[name] for name in names}
        seen = {name: self.seen[name] for name in names}
        return States(chosen, self.said, seen, self.asked, self.whole or self)


def states_of(folders: Sequence[RunFolder], said: Answers | None = None) -> States:
    """Return the states of runs; write nothing.

    Parameters
    ----------
    folders: sequence of RunFolder
        A run without a folder is planned, or completed if it is archived and its file is whole.
    said: Answers, optional
        What the launchers have just said; if they said anything, they are not asked again.
    """
    found, open_ = States(said=said or Answers()), dict[str, Attempt]()
    for folder in folders:
        name = folder.path.name
        seen = found.seen[name] = glance(folder)

        def remember(attempt: Attempt, name: str = name) -> None:
            open_[name] = attempt

        found.of[name] = seen.condition(remember)
    if open_:
        if not found.said.by:
            found.said = ask(open_.values())
        for name, attempt in open_.items():
            found.of[name] = _told(found, name, attempt, found.said)
    _count_archived(folders, found)
    return found


def _told(found: States, name: str, attempt: Attempt, said: Answers) -> str:
    """Return the condition of a run after its newest attempt was asked about."""
    gone = said.of(attempt).gone(attempt)
    if gone and attempt.exit is None and (attempt.path / "exit.json").exists():
        # It ended while we asked, and its record says more than the scheduler does.
        found.seen[name] = Glance(found.seen[name].path)
    return found.seen[name].condition(said.state)


def _count_archived(folders: Sequence[RunFolder], found: States) -> None:
    planned = [folder for folder in folders if found.of[folder.path.name] == "planned"]
    if not planned:
        return
    archived = archive.index(planned[0].path.parent)
    for folder in planned:
        if (file := archived.get(folder.path.name)) is not None:
            archived_run = archive.ArchivedRun(folder.path, file)
            found.seen[folder.path.name] = archived_run
            found.of[folder.path.name] = archived_run.condition()
