"""The metric of runs on samples of their test set, from what each kept of its test items."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from plugins.contracts.items import ITEMS, CountsItems
from plugins.contracts.metric import Metric
from plugins.contracts.names import UnknownName
from plugins.contracts.tasks import find_task
from study.errors import StudyError
from study.files import BrokenFile
from study.runs.folder import RunFolder

__all__ = ["SAMPLES", "Resampled", "counting", "resampled", "samples"]

SAMPLES = 1000
"""Of the test set. A standard deviation over them is known to 2 %."""

ROUNDED = 0.1
"""Points by which a result may differ from the value of its items: MMDetection rounds mAP to 0.001.
"""

TestSet = tuple[Any, tuple[Any, ...]]
"""Content of the data set, as far as it is known, and the items in order."""


@dataclass(frozen=True, eq=False)
class Resampled:
    """Runs of one test set, and their metric on samples of it.

    Parameters
    ----------
    runs: pandas.DataFrame
        Those that kept statistics of the same items.
    draws: numpy.ndarray
        Their metric on each sample, (runs, samples). A sample has the same items for all runs.
    count: int
        Items of the test set.
    remarks: tuple of str
        Which runs are left out and why, and whether samples are.
    """

    runs: pd.DataFrame
    draws: np.ndarray
    count: int
    remarks: tuple[str, ...] = ()


@functools.lru_cache(maxsize=4)
def samples(count: int) -> np.ndarray:
    """Return how often each sample has each of `count` items, always the same.

    They are drawn with replacement, as many as there are (Efron 1979, Ann. Statist. 7, 1).

    Returns
    -------
    numpy.ndarray
        (1 + `SAMPLES`, count). The first row is the test set itself.
    """
    drawn = np.random.default_rng(0).multinomial(count, [1 / count] * count, size=SAMPLES)
    return np.vstack([np.ones((1, count), dtype=drawn.dtype), drawn])


def counting(name: str) -> CountsItems:
    """Return a task that can calculate its metric from test items.

    Raises
    ------
    StudyError
        If it cannot, or is not installed.
    """
    try:
        task = find_task(name)
    except UnknownName as error:
        raise StudyError(str(error)) from None
    if not isinstance(task, CountsItems):
        raise StudyError(f"the task {name} keeps no statistics of test items (CountsItems)")
    return task


def resampled(
    runs: pd.DataFrame, folders: Mapping[str, RunFolder], task: CountsItems, metric: Metric
) -> Resampled:
    """Calculate the metric of runs on samples of the test set that most of them have.

    Parameters
    ----------
    runs: pandas.DataFrame
        Completed ones of one group.
    folders: mapping of str to RunFolder
        By id.
    task, metric
        Of the runs.

    Raises
    ------
    StudyError
        If none of the runs kept its test items, or there are too few of these.
    """
    left: dict[str, list[str]] = defaultdict(list)
    found: dict[Any, tuple[TestSet, np.ndarray]] = {}
    for run in runs.itertuples():
        try:
            found[run.Index] = _read(folders[run.id], run, task, metric)
        except StudyError as error:
            left[str(error)].append(f"{run.mechanism} seed {run.seed}")
    if not found:
        raise StudyError("; ".join(_named(left, len(runs))))
    chosen, _ = Counter(test_set for test_set, _ in found.values()).most_common(1)[0]
    for place, (test_set, _) in found.items():
        if test_set != chosen:
            run = runs.loc[place]
            left[_unlike(test_set, chosen)].append(f"{run['mechanism']} seed {run['seed']}")
    kept = [place for place, (test_set, _) in found.items() if test_set == chosen]
    draws = np.array([found[place][1] for place in kept])
    measured = np.isfinite(draws).all(axis=0)
    remarks = [f"left out: {each}" for each in _named(left, len(runs))]
    if lacking := int((~measured).sum()):
        remarks.append(f"{lacking} of {SAMPLES} samples had nothing to measure, and are left out")
    if len(chosen[1]) < 2 or measured.sum() < 2:
        raise StudyError(f"{len(chosen[1])} test items: too few to draw others from")
    return Resampled(runs.loc[kept], draws[:, measured], len(chosen[1]), tuple(remarks))


def _read(
    folder: RunFolder, run: Any, task: CountsItems, metric: Metric
) -> tuple[TestSet, np.ndarray]:
    """Return the test set of a run, and its metric on each sample."""
    items = folder.items
    if items is None:
        raise StudyError(
            "kept no items.npz, which a training writes at its end; where there is a checkpoint, "
            "`study evaluate --items` writes it, else move the run's folder, or its file in the "
            "archive, away and train it anew"
        )
    try:
        listed = tuple(items[ITEMS].tolist())
        value, *draws = task.value_of_items(items, samples(len(listed)))
    except (LookupError, TypeError, ValueError) as error:
        raise BrokenFile(f"items.npz is not what the task keeps ({error})") from None
    if not abs(value - run.value) <= ROUNDED * metric.point:
        raise StudyError(
            f"the items of items.npz give {value:.6g}, the result is {run.value:.6g}: they are of "
            "another evaluation"
        )
    content = run.data_content if isinstance(run.data_content, str) else None
    return (content, listed), np.array(draws, dtype=float)


def _unlike(test_set: TestSet, chosen: TestSet) -> str:
    (content, listed), (usual, others) = test_set, chosen
    if len(listed) != len(others):
        return f"{len(listed)} test items, where most runs have {len(others)}"
    if listed != others:
        return "test items that are not those of most runs, or in another order"
    return f"another content of the data set ({content} instead of {usual})"


def _named(left: Mapping[str, list[str]], total: int) -> list[str]:
    """Return each reason with the runs that it is true of."""
    return [
        f"{f'all {total} runs' if len(runs) == total else ', '.join(runs)}: {reason}"
        for reason, runs in left.items()
    ]
