"""What ``metrics.jsonl`` says about a run over time: its headline metric and its training loss.

A study has millions of lines of loss, of which a curve shows a hundred. So files that look exactly
as the worker writes them are read by two patterns instead of line by line; any other file, with a
torn line or other keys, is read by `study.files.read_metrics`, and gives the same for the same
lines.
"""

from __future__ import annotations

import functools
import json
import re
from array import array
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from math import nan
from operator import itemgetter
from typing import Any

from study.runs.archive import TRAIN_LINES, ArchivedRun
from study.runs.folder import RunFolder

__all__ = ["LOSS_POINTS", "Curve", "curves"]

LOSS_POINTS = TRAIN_LINES
"""Most points of a curve of the loss: an archive keeps as many, and gives the same curve."""

Curve = array
"""Double-precision numbers: epoch, value, epoch, value, ...; NaN where one is no number."""

EVALUATIONS = ("untrained", "val")

TRAIN = re.compile(
    r'\{"split": "train", "time": [^,]+, "step": (\d+), "epoch": ([^,]+), "loss": ([^,}]+)'
    r"(?:,[^{}\n]*)?\}\n"
)
OTHER = re.compile(r'\{"split": "(?!train")[^{}\n]*\}\n')


def curves(folder: RunFolder, metric: str | None) -> tuple[Curve, Curve]:
    """Return the curves of the headline metric and of the training loss.

    Parameters
    ----------
    folder: RunFolder
        An archived run gives the curves that its folder gave.
    metric: str or None
        The headline metric; None if it is not known yet, which leaves its curve empty.

    Returns
    -------
    tuple of Curve
        The metric at each evaluation that measured it, the untrained network's first; and the loss
        at `LOSS_POINTS` evenly spaced ones of the recorded steps, or at all if there are fewer.
        Where a step was repeated after a resumption, its last record counts.
    """
    if isinstance(folder, ArchivedRun):
        return _patient(folder.metrics, metric)
    try:
        content = (folder.path / "metrics.jsonl").read_bytes()
    except FileNotFoundError:
        return array("d"), array("d")
    return _quick(content.decode(errors="replace"), metric) or _patient(folder.metrics, metric)


def _patient(records: Sequence[dict[str, Any]], metric: str | None) -> tuple[Curve, Curve]:
    """Return the curves that records show, which are as `study.files.read_metrics` gives them."""
    train = [record for record in records if record.get("split") == "train"]
    spaced = _spaced(len(train))(train)
    losses = ((_number(r.get("epoch")), _number(r.get("loss"))) for r in spaced)
    evaluations = [record for record in records if record.get("split") in EVALUATIONS]
    return _measured(evaluations, metric), array("d", chain.from_iterable(losses))


def _quick(content: str, metric: str | None) -> tuple[Curve, Curve] | None:
    """Return the curves that a regular file shows, None of any other.

    Regular means that every line is one flat object which one of the two patterns matches from
    its first brace to its last: no line that was torn has both.
    """
    train, other = TRAIN.findall(content), OTHER.findall(content)
    if len(train) + len(other) != content.count("\n") or not content.endswith("\n"):
        return None
    try:
        steps = {int(step): (epoch, loss) for step, epoch, loss in train}
        spaced = map(steps.__getitem__, _spaced(len(steps))(sorted(steps)))
        losses = array("d", map(float, chain.from_iterable(spaced)))
        evaluations: dict[tuple[int, str], dict[str, Any]] = {}
        for record in json.loads(f"[{','.join(other)}]"):
            if record["split"] in EVALUATIONS:
                evaluations[int(record["step"]), record["split"]] = record
    except (ValueError, KeyError, TypeError):
        return None
    places = sorted(evaluations, key=itemgetter(0))  # those of one step stay as they were written
    return _measured((evaluations[place] for place in places), metric), losses


def _measured(evaluations: Iterable[dict[str, Any]], metric: str | None) -> Curve:
    points = [(_number(r.get("epoch")), _number(r[metric])) for r in evaluations if metric in r]
    return array("d", chain.from_iterable(points))


@functools.cache
def _spaced(count: int) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Return a function that picks `LOSS_POINTS` evenly spaced ones of `count` items.

    The first and the last are among them. It picks all if there are fewer.
    """
    if count <= LOSS_POINTS:
        return tuple
    last = count - 1
    return itemgetter(*(round(i * last / (LOSS_POINTS - 1)) for i in range(LOSS_POINTS)))


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else nan
