"""Run folders in, one tidy table out: a row is a run, finished or not.

======================  ==========================================================================
``id``, ``label``       of ``run.json``
``grid``                the grid that made the run first
``task``, ``data``      name of the task; the recipe's data set
``mechanism``           its word
``sites``               joined by dots, as in the label; empty where nothing is placed
``seed``, ``version``   of the science configuration
``state``               derived, see ``docs/run-folder.md``
``metric``, ``value``   name of the headline metric and its value after training
``metrics.<name>``      every metric after training, a column each; of a list or a mapping every
                        number, as ``metrics.<name>.<index or key>``; after all other columns
``untrained``           the headline metric before the first step
``loss_first``          training loss at the start, ``loss_last`` at the end
``model_macs``          multiply-accumulates of the whole model for one input of ``input_shape``;
                        likewise ``model_parameters``, ``mechanism_macs``, ``mechanism_parameters``
``input_shape``         joined by ×
``uncounted``           operators without a MAC formula: ``name=elements`` joined by semicolons
``seconds``             training time over all attempts
``peak_memory_bytes``   of the training process
``attempts``            how many executions the run took, or has taken so far
``recipe``              canonical JSON without what is ``unused``: equal recipes are equal strings
``unused``              entries of the recipe that the mechanism does not use, joined by commas
``mechanism_versions``  of the mechanisms in its word whose code is not of version 1:
                        ``name=version`` joined by semicolons
``data_card``           one line about the data, to be repeated under every table
``data_content``        fingerprint of the prepared data set that the last attempt saw
``commit``              git commit of the code that the last attempt ran
``code``                hash of that code where it is not what was committed
``packages``            hashes of others' packages that task, mechanisms and data set are from:
                        ``name=hash`` joined by semicolons
``device``              what the last attempt ran on: ``cpu``, or the GPU's name
``finished``            when, as ISO 8601
``error``               the last attempt's error in one line, where it ended without success
``curve``               list of [epoch, value]: the headline metric at each evaluation
``loss_curve``          list of [epoch, loss] of the training, at most 100 points
======================  ==========================================================================

What a run does not have yet is missing (NaN; of the curves: empty), never zero.
A number that is not finite is missing too.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.runs import table as runs_table
from analysis.runs.checked import UNCOUNTED
from analysis.runs.curves import curves
from study.errors import StudyError
from study.runs.archive import ArchivedRun
from study.runs.folder import RunFolder, without_value

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Update", "collect", "update"]

COLUMNS = tuple(runs_table.FIELDS)
"""Columns of every frame, in order; the ``metrics.<name>`` of the runs at hand follow."""

SOURCES = ("result.json", "run.json", "provenance.json", "metrics.jsonl")
"""What the row of a finished run follows from."""

MISTAKES = (StudyError, OSError, LookupError, ValueError, OverflowError, RecursionError)
"""What reading raises where a folder does not hold what the contract says."""

TEXTS = [name for name, kind in runs_table.FIELDS.items() if kind == runs_table.TEXT]
WHOLES = [name for name, kind in runs_table.FIELDS.items() if kind == runs_table.WHOLE]
FINITE = ("value", *(name for name in runs_table.FIELDS if name.endswith(("_macs", "_parameters"))))
FOR_A_PROCESS, MOST_PROCESSES, CHUNK = 1000, 8, 250  # folders, processes, folders

CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
LARGEST = 2**63  # what 64 bits with a sign do not hold any more

Broken = list[tuple[str, str]]


def collect(folders: Iterable[RunFolder]) -> pd.DataFrame:
    """Read run folders into a frame with the columns of the module's docstring.

    Parameters
    ----------
    folders: iterable of RunFolder
        Usually ``study.runs.archive.every_run(root)``: an archived run reads as its folder did.

    Returns
    -------
    pandas.DataFrame
        One row a run, in the order given. ``attrs["broken"]`` lists the folders that could not be
        read as (path, reason) pairs of strings: one bad disk block must not hide 900 good runs.
    """
    rows, broken = _rows_of_many([*folders])
    frame = runs_table.frame(runs_table.table(rows))
    frame.attrs["broken"] = broken
    return frame


@dataclass(frozen=True)
class Update:
    """How many runs the table has, whether it was written anew, and what could not be read."""

    runs: int
    completed: int
    changed: bool
    broken: Broken


def update(folders: Sequence[RunFolder], parquet: Path, text: Path) -> Update:
    """Bring the two files of a runs table up to what the run folders say.

    The table becomes the one that `collect` gives. A finished run is read only if one of its files
    differs in size or time from what it was when its row was written. All others are read each
    time: whether they wait, run or have died may be written in none of their files. Files of a
    table that comes out as it was are not touched.

    Parameters
    ----------
    folders: sequence of RunFolder
        Each run once.
    parquet, text: Path
        What `analysis.runs.table.files` returns.

    Raises
    ------
    StudyError
        If there is not one run to write; the files are left as they are.
    """
    old = runs_table.stored(parquet)
    intact = old is not None and runs_table.as_collected(old, text)
    before = old.read(["id", "state", runs_table.SIGNATURE]).to_pydict() if old else {}
    known = dict(zip(before.get("id", []), before.get(runs_table.SIGNATURE, []), strict=True))
    stale: list[RunFolder] = []
    for folder in folders:
        signature = known.get(folder.path.name)
        if signature is None or signature != _signature(folder):
            stale.append(folder)
    rows, broken = _rows_of_many(stale)
    kept = {*known}.difference(folder.path.name for folder in stale)
    ready = kept.union(row["id"] for row in rows)
    ids = [name for folder in folders if (name := folder.path.name) in ready]
    if not ids:
        found = f"no run that can be read; {parquet} is left as it is"
        raise StudyError("\n".join([found, *(f"skipped {path}: {why}" for path, why in broken)]))
    if intact and not rows and ids == before["id"]:
        return _told(before["state"], False, broken)
    new, changed = runs_table.table(rows), True
    if old is not None:
        whole = old.read()
        new = runs_table.merge(new, whole, ids)
        changed = not (intact and new.equals(whole))
    if changed:
        runs_table.write(new, parquet, text)
    return _told(new["state"].to_pylist(), changed, broken)


def _told(states: list[str], changed: bool, broken: Broken) -> Update:
    return Update(len(states), states.count("completed"), changed, broken)


def _rows_of_many(folders: Sequence[RunFolder]) -> tuple[list[dict[str, Any]], Broken]:
    """Return what `_rows` does, read by several processes where that pays."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    workers = min(cores, len(folders) // FOR_A_PROCESS, MOST_PROCESSES)
    if workers < 2:
        return _rows(folders)
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    # A forked process has its imports already, and it only reads files.
    with ProcessPoolExecutor(workers, get_context("fork")) as pool:
        parts = [*pool.map(_rows, (folders[i : i + CHUNK] for i in range(0, len(folders), CHUNK)))]
    return [row for rows, _ in parts for row in rows], [b for _, broken in parts for b in broken]


def _rows(folders: Iterable[RunFolder]) -> tuple[list[dict[str, Any]], Broken]:
    rows: list[dict[str, Any]] = []
    broken: Broken = []
    for folder in folders:
        path = folder.file if isinstance(folder, ArchivedRun) else folder.path
        try:
            # First, so that the next look notices a file that changes while it is read.
            signature = _signature(folder)
            rows.append(_row(folder) | {runs_table.SIGNATURE: signature})
        except KeyError as error:
            broken.append((str(path), f"the key {error} is missing"))
        except (TypeError, AttributeError) as error:
            broken.append((str(path), f"an entry of its files is of another type: {error}"))
        except MISTAKES as error:
            broken.append((str(path), str(error)))
    return rows, broken


def _signature(folder: RunFolder) -> str | None:
    """Return a text that changes with any file of a finished run; None without a result."""
    if isinstance(folder, ArchivedRun):
        paths = [str(folder.file)]
    else:
        paths = [f"{folder.path}/{name}" for name in SOURCES]
    seen: list[tuple[int, int] | None] = []
    for path in paths:
        try:
            found = os.stat(path)  # noqa: PTH116 - a Path for each of 40,000 takes twice as long
            seen.append((found.st_mtime_ns, found.st_size))
        except OSError:
            seen.append(None)
        if seen[0] is None:
            return None
    return blake2b(repr((len(paths), seen)).encode(), digest_size=8).hexdigest()


def _row(folder: RunFolder) -> dict[str, Any]:
    run, result = folder.run, folder.result
    if run is None:
        raise StudyError(f"{folder.path}: no run.json")
    if run["id"] != folder.path.name:  # a copy of a run would count as one more seed
        raise StudyError(f"the folder is not named after its run, {run['id']}; is it a copy?")
    science = run["science"]
    recipe, unused = science["recipe"], sorted(science.get("unused", ()))
    versions, origin = science.get("mechanisms", {}), folder.provenance or {}
    row = {
        **{name: run[name] for name in ("id", "label", "grid")},
        **{name: science[name] for name in ("task", "mechanism", "seed", "version")},
        "data": recipe["data"],
        "sites": ".".join(science["sites"]),
        "recipe": CANONICAL.encode({k: v for k, v in recipe.items() if k not in unused}),
        "unused": ", ".join(unused) or None,
        "mechanism_versions": _counts(versions, "run.json: mechanisms", "mechanism") or None,
        "data_card": _card(origin, recipe["data"]),
        "data_content": origin.get("data", {}).get(recipe["data"], {}).get("fingerprint"),
        "commit": origin.get("commit"),
        "code": _code(origin),
        "packages": _packages(origin),
        "device": origin.get("gpu") or origin.get("device"),
    }
    if result is None:
        row |= _unfinished(folder)
    elif result["hash"] != run["hash"]:
        raise StudyError("result.json belongs to another run: its hash is not that of run.json")
    elif lacking := without_value(result):
        raise StudyError(lacking)
    else:
        row |= {"state": "completed"} | _outcome(result)
    row["curve"], row["loss_curve"] = curves(folder, row.get("metric"))
    _check_types(row)
    return row


def _unfinished(folder: RunFolder) -> dict[str, Any]:
    attempts = folder.attempts
    ending = attempts[-1].exit if attempts else None
    error = " ".join(str((ending or {}).get("error") or "").split())
    return {"state": folder.state(), "attempts": len(attempts), "error": error or None}


def _outcome(result: dict[str, Any]) -> dict[str, Any]:
    metric, cost = result["metric"], result["cost"]
    numbers = {
        "value": result["metrics"][metric],
        "untrained": result["untrained"].get(metric),
        "loss_first": result["loss"]["first"],
        "loss_last": result["loss"]["last"],
        "model_macs": cost["model"]["macs"],
        "model_parameters": cost["model"]["parameters"],
        "mechanism_macs": cost["mechanism"]["macs"],
        "mechanism_parameters": cost["mechanism"]["parameters"],
        "seconds": result["seconds"],
        "peak_memory_bytes": result["peak_memory_bytes"],
    }
    return {
        "metric": metric,
        **{name: _number(name, value) for name, value in numbers.items()},
        "input_shape": "×".join(str(size) for size in cost["input_shape"]),
        "uncounted": _counts(cost["uncounted"], "result.json: uncounted", "operator"),
        "attempts": result["attempts"],
        "finished": result.get("finished"),
        **dict(_flat(runs_table.METRICS[:-1], result["metrics"])),
    }


def _counts(numbers: dict[str, int], what: str, keys: str) -> str:
    """Return whole numbers by name as ``name=number; name=number``."""
    text = "; ".join(f"{name}={number}" for name, number in sorted(numbers.items()))
    if not re.fullmatch(UNCOUNTED, text):
        raise StudyError(f"{what} is {text!r}, not whole numbers by {keys}")
    return text


def _number(name: str, value: Any) -> float | None:
    """Return a number that is there, None for one that is not: null, NaN or infinite.

    A training that diverged ends with a loss that is not finite. Its metric is at worst NaN, and
    its cost is counted: infinity there says that the file is wrong.
    """
    if value is None:
        return None
    if not isinstance(value, int | float):
        raise StudyError(f"result.json holds {value!r} where a number belongs")
    if math.isinf(value) and name in FINITE:
        raise StudyError(f"result.json: {name} is {value}, which no run can have")
    return float(value) if math.isfinite(value) else None


def _flat(name: str, value: Any) -> Iterator[tuple[str, float]]:
    """Yield each number of a metric under its name; texts have no place in a table of numbers."""
    if isinstance(value, int | float):
        if math.isfinite(value):
            yield name, float(value)
    elif isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for key, part in parts:
            yield from _flat(f"{name}.{key}", part)


def _card(origin: dict[str, Any], data: str) -> str | None:
    """Return the card of the recipe's data set; if none has its name, the cards of all sets."""
    described = origin.get("data", {})
    cards = [described[data]] if data in described else list(described.values())
    return " | ".join(entry["card"] for entry in cards) or None


def _code(origin: dict[str, Any]) -> str | None:
    """Return a hash of code that no commit describes; None where a commit does."""
    if origin.get("commit") and not origin.get("dirty"):
        return None
    diff = origin.get("diff") or ""  # all that older runs recorded, and archives shorten
    told = origin.get("diff_sha256") or sha256(diff.encode()).hexdigest()
    return origin.get("code") or (told[:16] if diff else None)


def _packages(origin: dict[str, Any]) -> str | None:
    others = origin.get("outside", {}).items()
    return "; ".join(f"{name}={own['content']}" for name, own in sorted(others)) or None


def _check_types(row: dict[str, Any]) -> None:
    """Raise where one value of another type would spoil its column, and with it the table."""
    for name in TEXTS:
        value = row.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise StudyError(f"{name} is {value!r}, not a text")
            value.encode()  # half a surrogate pair is a string to JSON, but no text
    for name in WHOLES:
        if not (type(row[name]) is int and 0 <= row[name] < LARGEST):
            raise StudyError(f"{name} is {row[name]!r}, not a number that counts something")
