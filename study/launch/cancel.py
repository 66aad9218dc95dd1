"""Ending runs from outside, so that their record says who did it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Sequence

from study.launch.answers import Answers
from study.launch.protocol import NotInstalled, find_launcher, launcher_names
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

__all__ = ["cancel"]

OF_PROCESSES = "local"
"""The launcher that ends processes which no launcher started, as of a run by hand."""


def cancel(folders: Sequence[RunFolder], said: Answers) -> Generator[str, None, bool]:
    """Ask runs that are queued or running to end; yields what becomes of them, in sentences.

    Returns True if some could not be told.

    Parameters
    ----------
    folders: sequence of RunFolder
        The runs.
    said: Answers
        What the launchers said of them.
    """
    failed = False
    groups = defaultdict[str, list[Attempt]](list)
    for folder in folders:
        if (attempt := folder.newest) is not None:
            known = attempt.by_job or attempt.launcher in launcher_names()
            groups[str(attempt.launcher) if known else OF_PROCESSES].append(attempt)
    for name, attempts in groups.items():
        try:
            launcher = find_launcher(name)
        except NotInstalled as error:
            yield f"{len(attempts)} runs: {error}; they are left alone"
            failed = True
            continue
        failed |= bool((yield from launcher.cancel(attempts, said.of(attempts[0]))))
    return failed
