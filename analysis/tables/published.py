"""Values that others published, in columns of their own beside ours.

A YAML file below ``results/published`` is one column: values of one task, data set, metric and
setting, each with the address where it was read. ``docs/tables.md`` describes the keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from analysis.stats.group import Group, Published
from study.errors import StudyError
from study.grid.grid import Mechanism
from study.yamlfile import YamlFile, validated

__all__ = ["COLUMNS", "FOLDER", "beside", "load"]

FOLDER = Path(__file__).resolve().parents[2] / "results" / "published"

COLUMNS = (
    *("name", "label", "task", "data", "metric", "mechanism", "method", "sites"),
    *("value", "printed", "setting", "remark", "source"),
)
"""Columns of the frame that `load` returns."""


class _Strict(BaseModel):
    """Unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(_Strict):
    """One number and where it was read."""

    method: str = Field(min_length=1, description="what the source calls it")
    mechanism: Mechanism | None = Field(
        None, description="the study's word for it, if there is one"
    )
    sites: tuple[str, ...] = Field((), description="where it stands; none: anywhere")
    value: FiniteFloat = Field(description="as the source prints it")
    remark: str = Field("", description="in what it differs from the mechanism of that word")
    source: str = Field(pattern=r"^https://\S+$", description="where the value was read")


class Column(_Strict):
    """One file: values that may stand in one column."""

    label: str = Field(min_length=1, description="heads the column: data set and origin")
    task: str
    data: str = Field(description="data set, by the name that recipes use")
    metric: str = Field(description="by the name that results use")
    scale: FiniteFloat = Field(gt=0, description="from the printed unit to that of our results")
    setting: str = Field(min_length=1, description="model, schedule and measure")
    values: tuple[Value, ...] = Field(min_length=1)


def load(folder: Path | None = None) -> pd.DataFrame:
    """Read every published value.

    Parameters
    ----------
    folder: Path, optional
        Its ``*.yaml`` files are read; `FOLDER` if None.

    Returns
    -------
    pandas.DataFrame
        One row a value with the `COLUMNS`: ``name`` is the file's, ``value`` is in the unit of our
        results (fractions for average precision and mIoU), ``printed`` as in the source,
        ``mechanism`` None where the study has no word for the method, ``sites`` joined by dots.

    Raises
    ------
    StudyError
        With file, line and key, if a file is not as `Column` says or gives a value twice.
    """
    rows: list[dict[str, Any]] = []
    for path in sorted((folder or FOLDER).glob("*.yaml")):
        rows += _rows(path)
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(path: Path) -> list[dict[str, Any]]:
    file = YamlFile(path, "a file of published values")
    try:
        column = validated(Column, file.content, file)
    except ValidationError as error:
        raise file.explain(error, _keys, told=_told) from None
    shared = column.model_dump(include={"label", "task", "data", "metric", "setting"})
    rows = [
        {
            "name": path.stem,
            **shared,
            **value.model_dump(include={"mechanism", "method", "remark", "source"}),
            "sites": ".".join(value.sites),
            "value": round(value.value * column.scale, 12),  # 0.374, not 0.37400000000000005
            "printed": value.value,
        }
        for value in column.values
    ]
    seen: set[tuple[str, str]] = set()
    for index, row in enumerate(rows):
        key = (row["mechanism"] or row["method"], row["sites"])
        if key in seen:
            raise StudyError(f"{file.where(['values', index])}: {key[0]!r} has a value already")
        seen.add(key)
    return rows


def _keys(location: Sequence[str | int]) -> Iterable[str]:
    return (Value if location else Column).model_fields


def _told(key: str, problem: Mapping[str, Any]) -> str:
    return f"{key}: {problem['msg'].removeprefix('Value error, ')}"


def beside(group: Group, published: pd.DataFrame, everything: bool = False) -> Group:
    """Return the group with the published values that fit it, in columns of their own.

    A value fits a group of its task, metric and sites: in the row of its mechanism, or in a row of
    its own if no run has that mechanism. Our numbers stay as they are.

    Parameters
    ----------
    group: Group
        Ours.
    published: pandas.DataFrame
        As `load` returns it.
    everything: bool
        Also show values on other data sets, which nothing of ours can be compared with; without,
        only those on the data set of the group.
    """
    fits = (published["task"] == group.task) & published["sites"].isin([group.sites, ""])
    if group.metric.name:
        fits &= published["metric"] == group.metric.name
    if not everything:
        fits &= published["data"] == group.data
    columns, notes = [], []
    for name, values in published[fits].groupby("name"):
        words = values["mechanism"].where(values["mechanism"].notna(), values["method"])
        by_word = dict(zip(words, values["value"], strict=True))
        first = values.iloc[0]
        columns.append(Published(f"published.{name}", first["label"], by_word))
        notes.append(_note(first, zip(words, values["remark"], strict=True), group.data))
    if everything and not columns:
        place = f" at {group.sites}" if group.sites else ""
        notes.append(f"published: no value for {group.task}{place}")
    return replace(group, published=tuple(columns), remarks=(*group.remarks, *notes))


def _note(first: pd.Series, remarks: Iterable[tuple[str, str]], data: str) -> str:
    caution = "comparable with ours only if the recipe is the same"
    if first["data"] != data:
        caution = f"on {first['data']}, ours on {data}: not comparable with ours"
    grouped: dict[str, list[str]] = {}
    for word, remark in remarks:
        if remark:
            grouped.setdefault(remark, []).append(word)
    differing = "".join(f"; {', '.join(words)}: {text}" for text, words in grouped.items())
    return (
        f"published, {first['label']}: {first['setting']}{differing}; {caution}; sources in "
        f"results/published/{first['name']}.yaml"
    )
