"""Finished runs as small files to commit: what tables and figures need of a run folder.

``results/<grid>/<run id>.json`` holds the run, its result, where it came from, its curve and how
its attempts ended; logs, checkpoints and most of the training curve are not in it. A run counts as
done on every machine that has its file. `ArchivedRun` reads the file as a run folder.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.errors import StudyError
from study.files import BrokenFile, read_json, write_bytes, write_text
from study.runs.attempt import Attempt
from study.runs.folder import RESULT_KEYS, RUN_KEYS, RunFolder, iter_runs
from study.runs.items import FILE as ITEMS_FILE
from study.runs.items import read_items

if TYPE_CHECKING:
    import numpy as np

__all__ = ["ArchivedRun", "every_run", "index", "light", "results_root", "store", "store_items"]

SCHEMA = 1  # of these files, the newest that this code reads

TRAIN_LINES = 100  # of the training curve that are kept, evenly spaced
DIFF_CHARACTERS = 4_000  # of uncommitted changes; a hash tells the rest
ERROR_CHARACTERS = 500  # of an attempt's error that a later attempt overcame

RUN_ID = re.compile(r".+-[0-9a-f]{16}")
OF_SUBMISSION = ("launcher", "host", "slots", "token", "index")
OF_EXIT = ("cause", "code", "seconds", "error", "scheduler")


def results_root() -> Path:
    """Return where archives are kept: $STUDY_RESULTS, else ``results`` here."""
    return Path(os.environ.get("STUDY_RESULTS") or "results").expanduser()


def index(runs: Path, results: Path | None = None) -> dict[str, Path]:
    """Return the file of each archived run by its id; looks at names only.

    Parameters
    ----------
    runs: Path
        The folder of run folders; it is no archive even if it lies below `results`.
    results: Path, optional
        Where to look, at any depth; `results_root` by default.
    """
    found: dict[str, Path] = {}
    for folder, below, files in os.walk(results or results_root()):
        # Skip run folders, of this or another folder of runs: they have no archives and are many.
        below[:] = sorted(name for name in below if name[0] != "." and not RUN_ID.fullmatch(name))
        if Path(folder).resolve() == runs.resolve():
            below.clear()
            continue
        for name in files:
            run = name.removesuffix(".json")
            if run != name and RUN_ID.fullmatch(run):
                found.setdefault(run, Path(folder) / name)
    return found


@dataclass(frozen=True)
class ArchivedRun(RunFolder):
    """A finished run with this file; its folder, `path`, may be elsewhere."""

    file: Path = Path()

    @functools.cached_property
    def content(self) -> dict[str, Any]:
        """The file; `StudyError` if its schema is newer than `SCHEMA`.

        It is broken if it lacks anything, or is of another run than its name says.
        """
        content = read_json(self.file) or {}
        schema = content.get("schema")
        if not isinstance(schema, int):
            raise BrokenFile(f"{self.file}: no schema number")
        if schema > SCHEMA:
            raise StudyError(f"{self.file}: schema {schema} is newer than {SCHEMA}; update this")
        for part in ("run", "result", "provenance", "metrics", "attempts"):
            if part not in content:
                raise BrokenFile(f"{self.file}: has no {part!r}")
        for part, keys in (("run", RUN_KEYS), ("result", RESULT_KEYS)):
            record = content[part] or {}
            if missing := [key for key in keys if key not in record]:
                raise BrokenFile(f"{self.file}: its {part!r} has no {missing[0]!r}")
            name = self.file.stem  # which ends with the hash
            if (record.get("id"), record.get("hash")) != (name, name.rpartition("-")[2]):
                raise BrokenFile(f"{self.file}: its {part!r} is of another run, {record.get('id')}")
        return content

    @property
    def run(self) -> dict[str, Any]:
        """As in ``run.json``."""
        return self.content["run"]

    @property
    def result(self) -> dict[str, Any]:
        """As in ``result.json``."""
        return self.content["result"]

    @property
    def provenance(self) -> dict[str, Any] | None:
        """As in ``provenance.json``, a long diff cut."""
        return self.content["provenance"]

    @property
    def note(self) -> dict[str, Any] | None:
        """As in ``note.json`` when the run was archived."""
        return self.content.get("note")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """As in ``metrics.jsonl``, with at most `TRAIN_LINES` lines of the training."""
        return self.content["metrics"]

    @property
    def items(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """As in ``items.npz``; None if they were not archived."""
        return read_items(self.file.with_suffix(".npz"))

    @property
    def attempts(self) -> list[Attempt]:
        """The executions, by what each was made, and how it ended."""
        return [
            Attempt(a["n"], self.path / "attempts" / str(a["n"]), a["submission"], None, a["exit"])
            for a in self.content["attempts"]
        ]

    @property
    def newest(self) -> Attempt | None:
        """The execution that finished it."""
        return self.attempts[-1] if self.attempts else None


def every_run(runs: Path) -> list[RunFolder]:
    """Return the runs in `runs`, then the archived ones that have not begun there."""
    archived = index(runs)
    folders = [f for f in iter_runs(runs) if f.path.name not in archived or _begun(f)]
    names = {folder.path.name for folder in folders}
    more = [ArchivedRun(runs / name, archived[name]) for name in sorted({*archived} - names)]
    return [*folders, *more]


def _begun(folder: RunFolder) -> bool:
    try:
        return (folder.path / "result.json").exists() or bool(folder._attempt_paths())
    except PermissionError:
        return True


def light(folder: RunFolder) -> dict[str, Any]:
    """Return what an archive keeps of a finished run."""
    return {
        "schema": SCHEMA,
        "run": folder.run,
        "result": folder.result,
        "provenance": _without_long_diff(folder.provenance),
        "attempts": [_ending(attempt) for attempt in folder.attempts],
        "metrics": _thinned(folder.metrics),
        **({"note": noted} if (noted := folder.note) else {}),
    }


def store(folder: RunFolder, file: Path) -> bool:
    """Write the archive of a finished run to `file`; False if it is there already.

    A note may change. The one in the file stays if the run folder has none.

    Raises
    ------
    StudyError
        If the file has another content; the message shows the differences.
    """
    from study.runs.run import differences

    record = light(folder)
    try:
        there = read_json(file)
    except BrokenFile as error:
        raise StudyError(f"{error}; move it away to archive this run") from None
    if there is not None:
        record = {**record, "note": record.get("note") or there.get("note")}
        record = {key: value for key, value in record.items() if key != "note" or value}
        now = json.loads(json.dumps(record))
        if there == now:
            return False
        if {**there, "note": None} == {**now, "note": None}:
            _write(file, record)
            return True
        lines = [f"  {line[:200]}" for line in differences(there, record)[:10]]
        raise StudyError(
            f"{file} holds another account of this run:\n"
            + "\n".join(lines)
            + "\nmove that file away, or the run folder, whichever is not the true one"
        )
    _write(file, record)
    return True


def store_items(folder: RunFolder, file: Path) -> bool:
    """Keep the ``items.npz`` of a run beside its archive; False if it has none, or they are there.

    Raises
    ------
    StudyError
        If they cannot be read.
    """
    place = file.with_suffix(".npz")
    if place.exists() or folder.items is None:
        return False
    write_bytes(place, (folder.path / ITEMS_FILE).read_bytes())
    return True


def _write(file: Path, record: Mapping[str, Any]) -> None:
    """Write the same bytes for the same record: a line per entry, a line per measurement."""
    parts = []
    for key, value in record.items():
        text = _compact(value)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(f"  {_compact(item)}" for item in value) + "\n ]"
        parts.append(f' "{key}": {text}')
    write_text(file, "{\n" + ",\n".join(parts) + "\n}\n")


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _without_long_diff(origin: dict[str, Any] | None) -> dict[str, Any] | None:
    if not origin or len(diff := origin.get("diff", "")) <= DIFF_CHARACTERS:
        return origin
    digest = hashlib.sha256(diff.encode()).hexdigest()
    more = {"diff_characters": len(diff), "diff_sha256": digest}
    return {**origin, "diff": diff[:DIFF_CHARACTERS], **more}


def _ending(attempt: Attempt) -> dict[str, Any]:
    """Return who executed an attempt, and how that ended, without traceback and process ids."""
    submission, ending = attempt.submission or {}, attempt.ending
    kept = {key: ending[key] for key in OF_EXIT if key in ending}
    return {
        "n": attempt.n,
        "submission": {key: submission[key] for key in OF_SUBMISSION if key in submission},
        "exit": kept | {"error": str(kept.get("error") or "")[:ERROR_CHARACTERS]},
    }


def _thinned(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep every measurement; keep the first, the last and some other lines of the training."""
    train = [number for number, line in enumerate(lines) if line.get("split") == "train"]
    if len(train) <= TRAIN_LINES:
        return lines
    last = len(train) - 1
    kept = {train[round(i * last / (TRAIN_LINES - 1))] for i in range(TRAIN_LINES)}
    dropped = {*train} - kept
    return [line for number, line in enumerate(lines) if number not in dropped]
