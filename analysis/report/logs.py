"""What a run wrote, cut to what a page can hold, with the lines that report an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from study.runs.archive import ArchivedRun
from study.runs.folder import RunFolder
from study.status.follow import source
from study.status.triage import RAISED, TRACEBACK

__all__ = [
    *("HEAD_BYTES", "HEAD_LINES", "TAIL_BYTES", "TAIL_LINES"),
    *("Log", "logs", "read", "readable"),
]

HEAD_BYTES, HEAD_LINES = 32 << 10, 500
TAIL_BYTES, TAIL_LINES = 128 << 10, 2_500
"""How much of a log goes into a page, from its beginning and from its end; more makes it slow."""

CHUNK = 1 << 20

# Colours, cursor movements and titles: a terminal acts on them, a page would only show them.
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")

COMPLAINT = re.compile(
    r"(?:^|[\s|\[])(?:ERROR|CRITICAL|FATAL)\b|^(?:\S+: )?(?:fatal )?error:|^Killed\b"
    r"|[Oo]ut of memory|Segmentation fault|oom[-_ ]?kill"
)
"""A line that reports an error without a traceback, as schedulers and the kernel write them."""


@dataclass(frozen=True)
class Log:
    """A file that a run wrote.

    Attributes
    ----------
    name, note: str
        What it is, and a remark to read first.
    size: int
        Bytes of the whole file.
    head, tail: str
        Its beginning and its end; `tail` is empty if `head` is all of it.
    resumes: int
        Number of the first line of `tail`, counted from 1.
    left_out: int
        Bytes between the two.
    errors: tuple of int
        Numbers of the shown lines that report errors.
    """

    name: str
    note: str
    size: int
    head: str
    tail: str = ""
    resumes: int = 0
    left_out: int = 0
    errors: tuple[int, ...] = ()


def logs(folder: RunFolder) -> list[Log]:
    """Return what the run and its attempts wrote, empty files left out; an archived run has none.

    The framework's own log comes first, then the attempts, the newest first.
    """
    if isinstance(folder, ArchivedRun):
        return []
    found = []
    if (whole := folder.path / "train.log").is_file():
        found.append(("train.log", "", whole))
    for attempt in reversed(folder.attempts):
        for name, err in (("stderr", True), ("stdout", False)):
            if written := source(folder, attempt.n, err):
                found.append((f"attempt {attempt.n}, {name}", written.note, written.path))
    made = (read(path, name, note) for name, note, path in found)
    return [log for log in made if log.size]


def read(path: Path, name: str, note: str = "") -> Log:
    """Read a file of any size and any bytes; only what is shown stays in memory.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES + TAIL_BYTES)
        size = max(path.stat().st_size, len(head))
        if size == len(head) and head.count(b"\n") <= HEAD_LINES + TAIL_LINES:
            text = readable(head)
            return Log(name, note, size, text, errors=tuple(_errors(text, 1)))
        head = _first(head[:HEAD_BYTES])
        position = file.seek(max(len(head), size - TAIL_BYTES))
        tail = _last(file.read(size - position))
        start = size - len(tail)
        resumes = 1 + head.count(b"\n") + _count_lines(path, len(head), start)
    first, last = readable(head), readable(tail)
    errors = (*_errors(first, 1), *_errors(last, resumes))
    return Log(name, note, size, first, last, resumes, start - len(head), errors)


def readable(raw: bytes) -> str:
    """Return bytes of a log as a terminal finally shows them, without control characters."""
    text = ESCAPES.sub("", raw.decode(errors="replace")).replace("\r\n", "\n")
    # A progress bar overwrites itself: its last state counts.
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    return CONTROL.sub(lambda match: _picture(match.group()), "\n".join(lines))


def _picture(sign: str) -> str:
    """Return the Unicode picture of a control character; HTML may not hold the character."""
    return "\u2421" if sign == "\x7f" else chr(0x2400 + ord(sign))


def _first(head: bytes) -> bytes:
    """Return what the page shows of the beginning: whole lines, unless one is very long."""
    lines = head.split(b"\n", HEAD_LINES)
    if len(lines) > HEAD_LINES:
        return head[: len(head) - len(lines[-1])]
    whole = head[: head.rfind(b"\n") + 1]
    return whole if len(whole) > len(head) // 2 else head


def _last(tail: bytes) -> bytes:
    """Return what the page shows of the end; half a line before it is left out."""
    tail = tail[tail.find(b"\n", 0, len(tail) // 2) + 1 :]
    return b"\n".join(tail.split(b"\n")[-1 - TAIL_LINES :])


def _count_lines(path: Path, start: int, stop: int) -> int:
    lines = 0
    with path.open("rb") as file:
        file.seek(start)
        while start < stop and (chunk := file.read(min(CHUNK, stop - start))):
            lines += chunk.count(b"\n")
            start += len(chunk)
    return lines


def _errors(text: str, first: int) -> Iterator[int]:
    """Yield the lines that name an exception after its traceback, and other complaints."""
    begun = 0
    for number, line in enumerate(text.split("\n"), first):
        if TRACEBACK in line:
            begun = number
        elif begun and RAISED.match(line):
            yield number
            begun = 0
        elif not begun and COMPLAINT.search(line):
            yield number
    if begun:  # cut off before the exception's name
        yield begun
