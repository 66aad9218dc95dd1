"""Failures in groups: which runs ended by the same mistake, whatever numbers and paths it names.

Two failures are the same if they agree in the last frames of our or the user's code (by file and
function; an edit elsewhere moves the line), in the type of the exception, and in its message
without addresses, numbers, folders and run ids. The nodes they were on are counted apart.
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from study.runs.archive import RUN_ID
from study.runs.attempt import Attempt
from study.runs.folder import RunFolder
from study.status.follow import source
from study.status.rows import final, job_of
from study.status.states import States

__all__ = ["FAILURES", "Failure", "Signature", "failures", "normalised", "signature"]

FAILURES = ("failed", "oom", "killed", "timeout", "lost")
"""States that are somebody's or something's fault, as a preemption is not."""

FRAMES = 2  # of our code, the last ones, that tell failures apart
TAIL_BYTES = 1 << 16  # of a log, enough for its last traceback
ERROR_CHARACTERS = 300

FRAME = re.compile(r'^\s*File "(?P<file>[^"]+)", line \d+(?:, in (?P<function>.+))?$', re.MULTILINE)
TRACEBACK = "Traceback (most recent call last):"
RAISED = re.compile(r"^(?:\w+\.)*\w*(?:Error|Exception|Interrupt|Exit|Stopped|Warning)\b.*", re.M)

INSTALLED = ("site-packages", "dist-packages")
"""Folders of other people's code. Python's own is where sysconfig says."""

NOISE = (
    (re.compile(r"\b0x[0-9a-fA-F]+\b"), "ADDRESS"),
    (re.compile(RUN_ID.pattern.replace(".+", r"[\w.+@-]+") + r"\b"), "RUN"),
    # The words of EIO are no path.
    (re.compile(r"(?<![\w.+@~/-])(?!Input/output error)(?:[\w.+@~-]*/)+(?=[\w.+@-])"), ""),
    (re.compile(r"\b[0-9a-f]{12,}\b"), "HASH"),
    (re.compile(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?"), "N"),
)
"""What differs between two reports of one mistake, and what stands in its place."""


@dataclass(frozen=True)
class Signature:
    """What runs that ended by the same mistake have in common."""

    state: str
    where: str
    error: str


@dataclass
class Failure:
    """A mistake, the runs that ended by it, and how many of them on which node."""

    signature: Signature
    runs: list[str] = field(default_factory=list)
    nodes: Counter[str] = field(default_factory=Counter)


def failures(found: States, names: Sequence[str]) -> list[Failure]:
    """Return what ended some runs, the mistake of most runs first."""
    members: dict[Signature, Failure] = {}
    for name in names:
        key = signature(found.seen[name], found.of[name], found)
        failure = members.setdefault(key, Failure(key))
        failure.runs.append(name)
        attempt = found.seen[name].newest
        if attempt is not None and (node := job_of(found, attempt)[1]):
            failure.nodes[node] += 1
    return sorted(members.values(), key=lambda failure: -len(failure.runs))


def signature(folder: RunFolder, state: str, found: States) -> Signature:
    """Return what the newest attempt of a run ended by."""
    attempt = folder.newest
    if attempt is None:
        return Signature(state, "", "")
    node = job_of(found, attempt)[1]
    report = _report(folder, attempt, state, found)
    if node:
        report = report.replace(f" on {node}", "")
    return Signature(state, _where(report), normalised(_last_line(report)))


def normalised(text: str) -> str:
    """Return a line without what differs from one run to the next."""
    for pattern, replacement in NOISE:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())[:ERROR_CHARACTERS]


def _report(folder: RunFolder, attempt: Attempt, state: str, found: States) -> str:
    """Return the traceback, or the best there is instead of one."""
    ending = attempt.exit or {}
    if trace := str(ending.get("traceback") or ""):
        return trace
    written = source(folder, attempt.n, err=True)
    tail = _tail(written.path) if written else ""
    # What a run wrote before it was killed is another matter; one that failed wrote why, last.
    if state == "failed" and TRACEBACK in tail:
        return tail[tail.rindex(TRACEBACK) :]
    if state == "failed" and written and written.note and tail.strip():
        return tail
    if state == "timeout":
        # A worker that was told so before it listened is recorded as killed by the signal.
        last = final(found, folder.path.name)
        return f"its time was up; {last}" if last else "its time was up"
    if error := str(ending.get("error") or ""):
        return error
    return found.said.of(attempt).why(attempt)


def _tail(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - TAIL_BYTES))
        return file.read().decode(errors="replace")


def _where(report: str) -> str:
    """Return the last frames of our or the user's code, as ``file.py:function``."""
    # Of a chain the last traceback is that of the exception which ended the run.
    last = report[report.rindex(TRACEBACK) :] if TRACEBACK in report else report
    frames = [(match["file"], match["function"] or "") for match in FRAME.finditer(last)]
    ours = [frame for frame in frames if _is_ours(frame[0])]
    # If all frames are in other people's code, as when an import fails, take the last of these.
    chosen = (ours or frames)[-FRAMES:]
    return " > ".join(f"{Path(file).name}:{function}" for file, function in chosen)


def _is_ours(file: str) -> bool:
    path = Path(file)
    if file.startswith("<") or any(part in INSTALLED for part in path.parts):
        return False
    standard = sysconfig.get_paths()["stdlib"]
    return not file.startswith(standard) and not re.search(r"/lib/python3\.\d+/", file)


def _last_line(report: str) -> str:
    """Return the line with exception and message: of several lines the one that names the type."""
    lines = [line for line in report.strip().splitlines() if line.strip()]
    last = report[report.rindex(TRACEBACK) :] if TRACEBACK in report else ""
    after = [frame.end() for frame in FRAME.finditer(last)]
    if after and (raised := list(RAISED.finditer(last, after[-1]))):
        return raised[0].group()
    return lines[-1] if lines else ""
