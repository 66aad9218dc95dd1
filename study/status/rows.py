"""What is known of many runs, a flat record each: what tables show and ``--json`` prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from study.files import BrokenFile, Unreadable
from study.launch.answers import cause
from study.launch.due import why_not
from study.launch.protocol import title
from study.runs.archive import ArchivedRun
from study.runs.attempt import Attempt
from study.runs.folder import SETTLED, RunFolder, without_value
from study.status.signs import sign_of
from study.status.states import DONE, States

__all__ = [
    "ERROR_CHARACTERS",
    "attention",
    "error_of",
    "final",
    "job_of",
    "json_list",
    "reasons",
    "remark",
    "row",
    "science_of",
    "shown",
    "tally",
    "told_by",
    "waits_for",
    "why_broken",
]

ERROR_CHARACTERS = 300  # of an error in a table; `study logs --err` has all of it


def row(states: States, name: str) -> dict[str, Any]:
    """Return what is known of one of the runs looked at; unknown values are None.

    Keys: id, state, archived, grid, task, mechanism, sites, seed, attempts, and of the newest
    attempt launcher, job, node, reason (why its job waits), cause, scheduler, seconds, error; of a
    run that is not submitted again by itself `final` (why), of one that is trained `quiet_seconds`
    (since its last sign of life) and `overdue` (whether that is far longer than its own pauses).
    """
    folder, science = states.seen[name], science_of(states, name)
    record: dict[str, Any] = {
        "id": name,
        "state": states.of[name],
        "archived": isinstance(folder, ArchivedRun),
        "grid": _grid(states, name),
        **{key: science.get(key) for key in ("task", "mechanism", "sites", "seed")},
        "attempts": 0,
        **dict.fromkeys(("launcher", "job", "node", "reason", "cause", "scheduler", "seconds")),
        **dict.fromkeys(("error", "final", "quiet_seconds", "overdue")),
    }
    try:
        attempt = folder.newest
    except BrokenFile as error:
        record["error"] = str(error)
        return record
    if attempt is None:
        return record
    record["attempts"] = attempt.n
    record["launcher"] = (attempt.submission or {}).get("launcher")
    record["job"], record["node"] = job_of(states, attempt)
    record["reason"] = waits_for(states, name)
    record["final"] = final(states, name) or None
    if states.of[name] == "running" and (sign := sign_of(folder)):
        record["quiet_seconds"], record["overdue"] = round(sign.seconds, 1), sign.overdue
    if attempt.exit is not None:
        ending = attempt.ending
        record["cause"] = cause(attempt, ending)
        record["scheduler"] = ending.get("scheduler")
        record["seconds"] = ending.get("seconds")
        record["error"] = str(ending.get("error") or "")[:ERROR_CHARACTERS] or None
    return record


def json_list(rows: Sequence[dict[str, Any]]) -> str:
    """Return a JSON list with a line a record: for grep too, and five times as fast as indented."""
    return "[\n" + ",\n".join(json.dumps(each, ensure_ascii=False) for each in rows) + "\n]"


def science_of(states: States, name: str) -> dict[str, Any]:
    """Return a run's science configuration, as the grid or its record has it; empty if broken."""
    if name in states.asked:
        return states.asked[name].science
    try:
        return (states.seen[name].run or {}).get("science") or {}
    except BrokenFile:
        return {}


def job_of(states: States, attempt: Attempt) -> tuple[str | None, str | None]:
    """Return the job that executes an attempt and the node it is on, None where none is known."""
    started, submitted = attempt.start or {}, attempt.submission or {}
    if not attempt.by_job:
        return None, submitted.get("host")
    shown = states.said.of(attempt).job(attempt)
    if started.get("job"):
        return started["job"], attempt.node or None
    if told := (attempt.exit or {}).get("job"):
        return told.get("id"), attempt.node or None
    return (shown.job, shown.node or None) if shown else (None, None)


def waits_for(states: States, name: str) -> str | None:
    """Return why a queued run waits, in its scheduler's own word such as ``Priority``."""
    shown = _waiting(states, name)
    return shown[1] if shown else None


def told_by(states: States, name: str) -> str:
    """Say who says why a queued run waits, and what; empty where nothing is known."""
    shown = _waiting(states, name)
    return f"{title(shown[0].launcher)} says {shown[1]}" if shown else ""


def _waiting(states: States, name: str) -> tuple[Attempt, str] | None:
    """Return the attempt of a queued run, and why its job waits."""
    attempt = states.seen[name].newest if states.of[name] == "queued" else None
    job = states.said.of(attempt).job(attempt) if attempt else None
    return (attempt, job.reason) if attempt and job and job.reason else None


def reasons(states: States) -> dict[str, int]:
    """Count why queued runs wait, the most frequent reason first."""
    queued = [name for name, state in states.of.items() if state == "queued"]
    words = [word for name in queued if (word := waits_for(states, name))]
    return dict(Counter(words).most_common())


def remark(states: States, state: str) -> str:
    """Say, in brackets, why queued runs wait, and how many are complete by their archive alone."""
    if state == DONE and states.archived:
        return f" ({states.archived} archived)"
    words = reasons(states) if state == "queued" else {}
    return f" ({', '.join(f'{word} {n}' for word, n in words.items())})" if words else ""


def tally(states: States) -> str:
    """Return the counts in one line, such as ``3 completed, 2 queued (Priority 2)``."""
    counts = Counter((shown(s, states.seen[name]), s) for name, s in states.of.items())
    ordered = [
        (word, state, n)
        for state in states.count()
        for (word, s), n in counts.items()
        if s == state
    ]
    return ", ".join(f"{n} {word}{remark(states, state)}" for word, state, n in ordered)


def shown(state: str, folder: RunFolder) -> str:
    """Return a state as people call it: a run on this machine that was told to stop is stopped."""
    if state != "preempted":
        return state
    attempt = folder.newest
    return "stopped" if attempt is not None and not attempt.by_job else state


def final(states: States, name: str) -> str:
    """Say why a run that ended badly is not submitted again by itself; empty if it is."""
    if states.of[name] in SETTLED or states.of[name] == "planned":
        return ""
    forgiven = states.nodes.forgiven.get(name, ())
    try:
        return why_not(states.seen[name], states.of[name], states.said, forgiven)
    except BrokenFile:
        return ""


def attention(states: States, name: str) -> str:
    """Say what a run that needs somebody ended by, and why nothing more follows by itself."""
    if states.of[name] == "broken":
        return why_broken(states.seen[name])
    error, last = error_of(states.seen[name]), final(states, name)
    if error and states.of[name] == "failed":
        return error  # which is why
    return "; ".join(dict.fromkeys(each for each in (error, last) if each))


def why_broken(folder: RunFolder) -> str:
    """Say what of a broken run cannot be read, and what is to be done."""
    if isinstance(folder, ArchivedRun):
        return f"{_why_broken_archive(folder)}; restore that file, or move it away"
    try:
        folder.state()
    except Unreadable as error:
        return str(error)
    except BrokenFile as error:
        return f"a file in its folder is torn; move the folder away ({error})"
    if lacking := without_value(folder.result):
        return f"{lacking}; move the folder away to train the run anew"
    return "a file in its folder was torn, and is whole by now"


def _why_broken_archive(folder: ArchivedRun) -> str:
    try:
        return f"{folder.file}: {without_value(folder.result) or 'it is whole by now'}"
    except BrokenFile as error:
        return str(error)


def error_of(folder: RunFolder) -> str:
    """Return the last line of what ended the newest attempt, as far as it is recorded."""
    try:
        attempt, _ = folder.newest, folder.run
        lacking = without_value(folder.result)
    except BrokenFile as error:
        return str(error)
    if lacking:
        return lacking
    text = str(((attempt.exit if attempt else None) or {}).get("error") or "").strip()
    return text.splitlines()[-1][:ERROR_CHARACTERS] if text else ""


def _grid(states: States, name: str) -> str | None:
    if name in states.asked:
        return states.asked[name].grid
    try:
        return (states.seen[name].run or {}).get("grid")
    except BrokenFile:
        return None
