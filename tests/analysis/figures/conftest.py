"""Runs tables made by hand, for figures of every kind."""

from __future__ import annotations

import itertools
import json
from array import array
from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from analysis.figures.drawing.style import STYLE
from analysis.runs import table
from analysis.runs.table import FIELDS

TERMS = ["".join(bits) for bits in itertools.product("01", repeat=4)]
DEFORMABLE = ["none+deformable", "0010+deformable", "1011+deformable", "1111+deformable"]
RANGED = ["dynamic", "dynamic@3", "dynamic@7", "0100@1", "0100@3", "0100@7"]
CROWD = ["none", *TERMS, *DEFORMABLE, *RANGED]

GROUPS = [
    ("detection", "trees", "conv4.conv5", "mAP", CROWD),
    ("segmentation", "landcover", "conv4.conv5.head", "mIoU", CROWD),
    ("translation", "software", "encoder", "BLEU", CROWD),
    ("translation", "software", "cross", "BLEU", TERMS),
]


@pytest.fixture(autouse=True)
def style():
    """Draw as the figures do, also where a test calls what the writing function calls."""
    with mpl.rc_context(STYLE):
        yield


@pytest.fixture
def run() -> Callable[..., dict]:
    """Return a function that makes a finished run; `columns` replace what it says."""
    return _run


@pytest.fixture
def frame_of() -> Callable[..., pd.DataFrame]:
    """Return a function that makes a table of runs."""
    return _frame


def _run(mechanism: str, seed: int, value: float, **columns) -> dict:
    row = dict.fromkeys(FIELDS) | {
        "task": "detection",
        "data": "trees",
        "mechanism": mechanism,
        "sites": "conv4.conv5",
        "seed": seed,
        "version": 1,
        "state": "completed",
        "metric": "mAP",
        "value": value,
        "untrained": 0.0,
        "mechanism_macs": 2e6,
        "mechanism_parameters": 5e4,
        "model_macs": 1e9,
        "seconds": 60.0,
        "attempts": 1,
        "recipe": json.dumps({"epochs": 4}),
        "data_card": "trees: 60 aerial images, 100% public_domain",
        "curve": [[0.0, 0.0], [2.0, 0.9 * value], [4.0, value]],
        "loss_curve": [[0.1, 5.0], [2.0, 2.0], [4.0, 1.0]],
    }
    row |= columns
    parts = (row["task"], row["data"], mechanism, row["sites"], f"s{seed}", row["recipe"])
    return row | {"id": row.get("id") or "-".join(parts)}


def _frame(*rows: dict) -> pd.DataFrame:
    """Return rows as `analysis.runs.collect` does."""
    return pd.DataFrame(list(rows), columns=list(FIELDS)).astype(
        dict.fromkeys(("value", "mechanism_macs", "mechanism_parameters", "seconds"), "float64")
    )


@pytest.fixture
def store() -> Callable[..., list[Path]]:
    """Return a function that writes a table into a folder as ``study collect`` does."""

    def write(frame: pd.DataFrame, folder: Path) -> list[Path]:
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        for row in rows:
            for name in table.CURVES:
                row[name] = array("d", [number for point in row[name] for number in point])
        paths = [folder / "runs.parquet", folder / "runs.csv"]
        table.write(table.table(rows), *paths)
        return paths

    return write


@pytest.fixture
def crowd() -> Callable[..., pd.DataFrame]:
    """Return a function that makes three tasks, 27 mechanisms and some seeds of runs."""

    def make(seeds: int = 3, tasks=("detection", "segmentation", "translation")) -> pd.DataFrame:
        chance = np.random.default_rng(0)
        rows = []
        for task, data, sites, metric, mechanisms in (p for p in GROUPS if p[0] in tasks):
            scale = 20 if metric == "BLEU" else 0.4
            for index, mechanism in enumerate(mechanisms):
                for seed in range(seeds):
                    value = scale * (1 + 0.01 * index + 0.01 * chance.standard_normal())
                    curve = [[float(e), value * e / 4] for e in range(5)]
                    rows.append(
                        _run(
                            mechanism,
                            seed,
                            float(value),
                            task=task,
                            data=data,
                            sites=sites,
                            metric=metric,
                            mechanism_macs=0.0 if mechanism == "none" else 2e7 + 5e4 * index**2,
                            mechanism_parameters=0.0 if mechanism == "none" else 2e6 - 7e4 * index,
                            seconds=float(600 + index + chance.standard_normal()),
                            curve=curve,
                        )
                    )
        return _frame(*rows)

    return make
