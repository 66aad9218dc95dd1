"""What is known of attempts, whichever launchers submitted them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.launch.jobs import Jobs
from study.launch.protocol import NotInstalled, find_launcher, launcher_names
from study.launch.retries import cause_of
from study.runs.attempt import Attempt

__all__ = ["Answers", "cause"]


@dataclass(frozen=True)
class Answers:
    """What the launchers said of attempts that jobs execute, each asked once.

    Attributes
    ----------
    by: dict
        The answers by the name of the launcher.
    """

    by: dict[str, Jobs] = field(default_factory=dict)

    @classmethod
    def ask(cls, attempts: Iterable[Attempt]) -> Answers:
        """Ask about attempts, of whatever launchers."""
        asked: dict[str, list[Attempt]] = {}
        for attempt in attempts:
            if attempt.by_job:
                asked.setdefault(str(attempt.launcher), []).append(attempt)
        return cls({name: _ask(name, group) for name, group in asked.items()})

    def of(self, attempt: Attempt) -> Jobs:
        """Return what the attempt's launcher said."""
        return self.by.get(str(attempt.launcher), Jobs()) if attempt.by_job else Jobs()

    def state(self, attempt: Attempt) -> str | None:
        """Say the state of an attempt, for `RunFolder.state`; None where its record stands."""
        return self.of(attempt).state(attempt)

    @property
    def trouble(self) -> list[str]:
        """What could not be asked; the records stand then."""
        return [trouble for said in self.by.values() for trouble in said.trouble]


def _ask(name: str, attempts: Sequence[Attempt]) -> Jobs:
    try:
        return find_launcher(name).states(attempts)
    except NotInstalled as error:
        missed = sum(attempt.exit is None for attempt in attempts)
        return Jobs(trouble=[f"{missed} runs: {error}"] if missed else [], answered=False)


def cause(attempt: Attempt, ending: Mapping[str, Any] | None = None) -> str:
    """Return why an attempt ended, as `ending` or its own record says; see `cause_of`."""
    ended = attempt.ending if ending is None else ending
    name = str(attempt.launcher)
    if name in launcher_names() and "scheduler" in ended:
        return cause_of(ended, find_launcher(name).words)
    return cause_of(ended)
