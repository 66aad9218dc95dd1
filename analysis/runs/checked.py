"""Refuse a runs table with values that no run can have; somebody may have edited it by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from study.errors import StudyError, nearest
from study.runs.folder import STATES

__all__ = ["NAMES", "UNCOUNTED", "check"]

UNCOUNTED = r"([^=;]+=[0-9]+(; [^=;]+=[0-9]+)*)?"
"""What the column ``uncounted`` holds, as a regular expression of the whole text."""

NAMES = r"[^,\s]+(, [^,\s]+)*"
"""The same of ``unused``; ``mechanism_versions`` is as ``uncounted``."""


def check(runs: pa.Table, path: Path) -> None:
    """Refuse a table whose values no run can have.

    Parameters
    ----------
    runs: pyarrow.Table
        With the columns and types of `analysis.runs.table.FIELDS`; none of the required is null.
    path: Path
        Of the file, for the message.

    Raises
    ------
    StudyError
        With the file, the id of the first run that is wrong, and the column.
    """
    counts = runs["id"].value_counts()
    twice = counts.filter(pc.greater(counts.field("counts"), 1))
    if len(twice):
        raise StudyError(f"{path}: two rows have the 'id' {twice[0]['values']}; remove one of them")
    for field in runs.schema:
        column = runs[field.name]
        if pa.types.is_integer(field.type):
            _refuse(runs, path, field.name, pc.less(column, 0), "a whole number of 0 or more")
        elif pa.types.is_floating(field.type):
            _refuse(runs, path, field.name, pc.is_inf(column), "a finite number, or empty")
        elif pa.types.is_list(field.type):
            _refuse(runs, path, field.name, _infinite(column), "lists of finite numbers")
    unknown = pc.invert(pc.is_in(runs["state"], pa.array(STATES)))
    if (row := _first(unknown)) is not None:
        hint = nearest(runs["state"][row].as_py(), STATES)
        _refuse(runs, path, "state", unknown, f"one of {', '.join(STATES)}{hint}")
    nameless = pc.and_(pc.equal(runs["state"], "completed"), _empty(runs["metric"]))
    _refuse(runs, path, "metric", nameless, "the name of the headline metric in a completed run")
    for name, pattern, right in (
        ("uncounted", UNCOUNTED, "'name=number; name=number; ...', or empty"),
        ("mechanism_versions", UNCOUNTED, "'name=number; name=number; ...', or empty"),
        ("unused", NAMES, "'name, name, ...', or empty"),
    ):
        strange = pc.invert(pc.match_substring_regex(runs[name], rf"\A{pattern}\z"))
        _refuse(runs, path, name, strange, right)
    bad = [text for text in runs["recipe"].unique().to_pylist() if not _is_object(text)]
    spoilt = pc.is_in(runs["recipe"], pa.array(bad, pa.string()))
    _refuse(runs, path, "recipe", spoilt, 'a JSON object, {"name": value, ...}')


def _refuse(runs: pa.Table, path: Path, name: str, wrong: pa.ChunkedArray, right: str) -> None:
    row = _first(wrong)
    if row is not None:
        value = str(runs[name][row].as_py())
        shown = value if len(value) <= 60 else f"{value[:57]}..."  # a recipe or curve is long
        raise StudyError(
            f"{path}: run {runs['id'][row]}: {name!r} is {shown!r}; it is to be {right}"
        )


def _first(wrong: pa.ChunkedArray) -> int | None:
    """Return the first row in which `wrong` is true; null is not."""
    place = int(pc.index(wrong, True).as_py())
    return None if place < 0 else place


def _empty(texts: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.equal(pc.fill_null(texts, ""), "")


def _infinite(curves: pa.ChunkedArray) -> pa.Array:
    """Say of each curve whether one of its numbers is infinite."""
    whole = curves.combine_chunks()
    points = pc.list_flatten(whole)
    of_points = pc.list_parent_indices(whole)
    of_numbers = of_points.take(pc.list_parent_indices(points))
    found = of_numbers.filter(pc.fill_null(pc.is_inf(pc.list_flatten(points)), False)).unique()
    return pc.is_in(pa.array(range(len(whole)), of_numbers.type), found)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
