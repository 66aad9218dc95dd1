"""Nodes on which runs end at once, while others train: found by the records of attempts.

A node that has lost a mount, or may not write, frees itself within seconds for the next job, and
ends that too: of a grid it takes all that waits. So attempts are counted by node.

A *false start* is an attempt that ended within `START_SECONDS`, by an error or without a record,
and before a first step. A node is *bad* if the last attempts there, of at least `JOBS` jobs and two
runs, all are false starts, and attempts on other nodes did train in that time. Where more nodes are
bad than have trained, or one that has trained met the same error, it is the code and no node.

Nothing of this is stored: it follows from the records each time. Neither the local launcher is
looked at, nor jobs of several nodes, of which nobody knows the one that failed.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.files import BrokenFile
from study.launch.answers import cause
from study.launch.jobs import Answers
from study.launch.protocol import BadNode
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder

__all__ = ["Nodes", "survey"]

START_SECONDS = 120.0
"""A framework is imported and the data set found within this time; what ends earlier is a start."""

JOBS, RUNS = 3, 2
"""False starts in a row, and of how many runs, until a node is bad."""

FORGIVEN = 10
"""How many false starts on bad nodes cost a run none of its attempts: nothing goes on for ever."""

MEMORY_SECONDS = 24 * 3600.0
"""After this time without a job a bad node is tried again."""

BAD = ("failed", "oom", "killed", "lost")
"""Causes of a false start. What the user, a time limit or another job ended says nothing."""

VARYING = re.compile(r"\S*/\S*|\d+")
"""What differs between two accounts of one error."""


@dataclass(frozen=True)
class _Execution:
    """What an attempt did on a node; `ended` is now if it goes on."""

    run: str
    n: int
    node: str
    job: str
    began: float
    ended: float
    trained: bool
    false_start: bool
    error: str


@dataclass(frozen=True)
class Nodes:
    """What the attempts at some runs tell of the nodes they were on.

    Attributes
    ----------
    bad: list of BadNode
        Nodes to leave out now.
    forgiven: dict
        By run, the attempts that a bad node has cost.
    """

    bad: list[BadNode] = field(default_factory=list)
    forgiven: Mapping[str, Sequence[int]] = field(default_factory=dict)


def survey(folders: Mapping[str, RunFolder], of: Mapping[str, str], said: Answers) -> Nodes:
    """Look for bad nodes among the attempts at some runs.

    Parameters
    ----------
    folders: mapping of str to RunFolder
        The runs.
    of: mapping of str to str
        The condition of each.
    said: Answers
        What the launchers said of them.
    """
    suspects = [name for name, state in of.items() if _may_have_failed(folders[name], state)]
    # Without their metrics, of which there is much, more look bad than are. Most grids have none.
    looked = [e for n in suspects for e in _executions(n, folders[n], of[n], said, _no_metrics)]
    if not any(_streaks(mine) for mine in _by_node(looked).values()):
        return Nodes()
    looked = [e for n in of for e in _executions(n, folders[n], of[n], said, _metrics)]
    by_node = _by_node(looked)
    streaks = {node: _streaks(mine) for node, mine in by_node.items()}
    bad, forgiven = [], dict[str, list[int]]()
    for node, mine in by_node.items():
        for streak in streaks[node]:
            elsewhere = _well_elsewhere(streak, by_node, streaks)
            if not elsewhere:
                continue
            for each in streak:
                forgiven.setdefault(each.run, []).append(each.n)
            later = [e for e in mine if e.began >= streak[0].began]
            last = max(each.ended for each in streak)
            over = any(e.trained and e.began > streak[-1].began for e in later)
            if not over and time.time() - last < MEMORY_SECONDS:
                longest = max(each.ended - each.began for each in streak)
                bad.append(BadNode(node, len(streak), len(later), longest, elsewhere))
    return Nodes(
        sorted(bad, key=lambda each: each.name),
        {run: sorted(numbers)[:FORGIVEN] for run, numbers in forgiven.items()},
    )


def _may_have_failed(folder: RunFolder, state: str) -> bool:
    if state in (*BAD, "timeout", "preempted"):
        return True
    try:
        newest = folder.newest
    except BrokenFile:
        return False
    return newest is not None and newest.n > 1


def _metrics(folder: RunFolder) -> list[dict[str, Any]]:
    return folder.metrics


def _no_metrics(folder: RunFolder) -> list[dict[str, Any]]:
    return []


def _executions(
    name: str,
    folder: RunFolder,
    state: str,
    said: Answers,
    metrics: Callable[[RunFolder], list[dict[str, Any]]],
) -> Iterator[_Execution]:
    """Yield what the attempts at a run did, as far as their node is known."""
    try:
        attempts = folder.attempts
        sure = state == "completed" and len(attempts) == 1
        lines = [] if sure or not attempts else metrics(folder)
    except BrokenFile:
        return
    steps = [float(line.get("time", 0.0)) for line in lines if line.get("split") == "train"]
    for attempt in attempts:
        at = state if attempt is attempts[-1] else ""
        if attempt.by_job and (found := _execution(name, attempt, at, steps, said)):
            yield found


def _execution(
    name: str, attempt: Attempt, state: str, steps: Sequence[float], said: Answers
) -> _Execution | None:
    job = said.of(attempt).job(attempt) if state else None
    told = (attempt.exit or {}).get("job") or {}
    started = attempt.start or {}
    node = attempt.node or (job.node if job else "")
    began = started.get("time") if started.get("job") else told.get("began")
    began = began or (job.began if job else None)
    if not node or set(node) & set("[,") or began is None:
        return None
    ending = attempt.ending
    ended = told.get("ended") or (job.ended if job and not job.alive else None)
    if attempt.exit is not None and started.get("job"):
        ended = began + float(ending.get("seconds", 0.0))
    over = attempt.exit is not None or state not in ("", "queued", "running")
    last = ended if over and ended is not None else time.time()
    trained = any(began <= step <= last for step in steps) or state == "completed"
    why = cause(attempt, {"cause": state, **ending} if state else ending)
    quick = over and not trained and why in BAD and last - began <= START_SECONDS
    number = started.get("job") or told.get("id") or (job.job if job else "")
    error = VARYING.sub("", str(ending.get("error") or "")) if why in ("failed", "oom") else ""
    return _Execution(name, attempt.n, node, str(number), began, last, trained, quick, error)


def _by_node(looked: Sequence[_Execution]) -> dict[str, list[_Execution]]:
    """Return the executions of each node, in the order in which they began."""
    found: dict[str, list[_Execution]] = {}
    for each in sorted(looked, key=lambda e: e.began):
        found.setdefault(each.node, []).append(each)
    return found


def _streaks(mine: Sequence[_Execution]) -> list[list[_Execution]]:
    """Return the rows of false starts on a node that no attempt which trained interrupts."""
    rows: list[list[_Execution]] = [[]]
    for each in mine:
        if each.false_start:
            rows[-1].append(each)
        elif each.trained:
            rows.append([])
    return [
        row
        for row in rows
        if len({each.job for each in row}) >= JOBS and len({each.run for each in row}) >= RUNS
    ]


def _well_elsewhere(
    streak: Sequence[_Execution],
    by_node: Mapping[str, Sequence[_Execution]],
    streaks: Mapping[str, Sequence[Sequence[_Execution]]],
) -> int:
    """Count the attempts that trained on other nodes at that time; 0 if it is not the node."""
    first, last = streak[0].began, max(each.ended for each in streak) + START_SECONDS
    alike = {
        node
        for node, rows in streaks.items()
        if any(row[0].began <= last and row[-1].ended >= first for row in rows)
    }
    well = {
        node: count
        for node, mine in by_node.items()
        if node not in alike
        and (count := sum(e.trained and e.began <= last and e.ended >= first for e in mine))
    }
    errors = {each.error for each in streak} - {""}
    same = any(e.false_start and e.error in errors for node in well for e in by_node[node])
    return 0 if same or len(alike) > len(well) else sum(well.values())
