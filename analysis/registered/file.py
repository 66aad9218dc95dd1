"""The file of a registration: what was registered, and each amendment, in a chain of hashes.

It is ``<name of the grid>.registered.json`` beside the grid. Entries are only ever added. Each has
the SHA-256 of its content, which includes that of the entry before, so that an edit is noticed.
(Whoever means to deceive can compute the hashes anew; git, or a copy elsewhere, tells.)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from analysis.registered.plan import Plan
from study.errors import StudyError
from study.files import read_json, write_text

__all__ = ["Entry", "beside", "read", "write"]

SCHEMA = 1  # of the file, the newest that this code reads

LINES = 5  # levels of the file that have a line for each of their entries


@dataclass(frozen=True)
class Entry:
    """A registration, or an amendment of it.

    Parameters
    ----------
    date: str
        ISO 8601, UTC.
    reason: str
        Of an amendment; empty in the first entry.
    commit: str
        Of the repository that the grid lies in; empty if there is none.
    dirty: bool
        Whether that repository, or the grid, differed from the commit.
    code: str
        Hash of the code that judges, `analysis.stats`.
    finished, begun: int
        How many runs of the grid had finished, and how many others had been begun.
    plan: dict
        From `analysis.registered.plan.plan`.
    """

    date: str
    reason: str
    commit: str
    dirty: bool
    code: str
    finished: int
    begun: int
    plan: Plan


def beside(grid: Path) -> Path:
    """Return where the registration of a grid file is."""
    return grid.with_name(f"{grid.stem}.registered.json")


def read(path: Path) -> list[Entry]:
    """Read the registration and its amendments, in order; none where there is no such file.

    Raises
    ------
    StudyError
        If the file was edited, or is none of a registration.
    """
    content = read_json(path)
    if content is None:
        return []
    schema, entries = content.get("schema"), content.get("entries")
    if isinstance(schema, int) and schema > SCHEMA:
        raise StudyError(f"{path}: schema {schema} is newer than {SCHEMA}; update this program")
    if not isinstance(entries, list) or not entries:
        raise _edited(path, "it has no entries")
    found, before = [], ""
    for number, entry in enumerate(entries, 1):
        known = isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
        fields = {k: v for k, v in entry.items() if k != "sha256"} if known else {}
        if not known or fields.get("previous") != before or _sha256(fields) != entry["sha256"]:
            date = f" of {str(entry['date'])[:10]}" if known and "date" in entry else ""
            raise _edited(path, f"entry {number}{date} does not have the SHA-256 that it was given")
        before = entry["sha256"]
        found.append(Entry(**{k: v for k, v in fields.items() if k != "previous"}))
    return found


def write(path: Path, entries: Sequence[Entry]) -> None:
    """Write a registration and its amendments, whole or not at all."""
    records: list[dict[str, Any]] = []
    for entry in entries:
        record = asdict(entry) | {"previous": records[-1]["sha256"] if records else ""}
        records.append(record | {"sha256": _sha256(record)})
    write_text(path, _laid_out({"schema": SCHEMA, "entries": records}) + "\n")


def _edited(path: Path, what: str) -> StudyError:
    return StudyError(
        f"{path} is not as `study register` wrote it: {what}. Bring back the file of before, such "
        f"as by git checkout -- {path}; a change is registered by: study register GRID --amend "
        "REASON"
    )


def _sha256(record: dict[str, Any]) -> str:
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _laid_out(value: Any, level: int = 0) -> str:
    """Return JSON in which a claim, or an entry of the grid, is a line."""
    if level >= LINES or not isinstance(value, dict | list) or not value:
        return json.dumps(value, ensure_ascii=False)
    indent = " " * (level + 1)
    inside = (
        [f"{json.dumps(key)}: {_laid_out(each, level + 1)}" for key, each in value.items()]
        if isinstance(value, dict)
        else [_laid_out(each, level + 1) for each in value]
    )
    first, last = "{}" if isinstance(value, dict) else "[]"
    lines = ",\n".join(indent + line for line in inside)
    return f"{first}\n{lines}\n{' ' * level}{last}"
