"""Asking about attempts, whichever launchers submitted them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from study.launch.jobs import Answers, Jobs
from study.launch.protocol import NotInstalled, find_launcher, launcher_names
from study.launch.retries import cause_of
from study.runs.attempt import Attempt

__all__ = ["ask", "cause"]


def ask(attempts: Iterable[Attempt]) -> Answers:
    """Ask about attempts, of whatever launchers."""
    asked: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        if attempt.by_job:
            asked.setdefault(str(attempt.launcher), []).append(attempt)
    return Answers({name: _ask(name, group) for name, group in asked.items()})


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
