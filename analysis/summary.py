"""Seeds into means: one summary per (task, data, sites), one row per mechanism.

Tables and figures show these numbers, so that they cannot disagree. Runs of different recipes, or
of different versions of a recipe's code, are never averaged: each gets a summary of its own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
from scipy import stats

from study.errors import StudyError

__all__ = ["Cell", "Summary", "half_width", "summarise"]

CONFIDENCE = 0.95

Cell = tuple[str, tuple[str, ...], str, int]
"""A run that a grid asks for: task, sites, mechanism, seed."""

AVERAGED = (
    *("untrained", "loss_first", "loss_last"),
    *("model_macs", "model_parameters", "mechanism_macs", "mechanism_parameters", "seconds"),
)


@dataclass(frozen=True)
class Summary:
    """What one table or one panel shows.

    Parameters
    ----------
    task, data, sites, metric: str
        `sites` joined by dots; `metric` is empty while no run has finished.
    variant: str
        What tells it from the other summaries of the same task and data: the recipe's entries
        that differ, such as ``epochs=8``. Empty if there is nothing to tell apart.
    baseline: str or None
        The mechanism that ``difference`` refers to.
    rows: pandas.DataFrame
        One row a mechanism, the baseline first: ``mechanism``, ``n`` (finished seeds), ``mean``,
        ``half_width`` (of the 95 % confidence interval), ``difference`` (mean over the seeds that
        both have of mechanism minus baseline), the means of the columns `AVERAGED` and the
        largest ``peak_memory_bytes``. Missing numbers are NaN.
    cards: list of str
        The data cards.
    notes: list of str
        What a reader must know to read the rows, a sentence each, the cards first.
    """

    task: str
    data: str
    sites: str
    metric: str
    variant: str
    baseline: str | None
    rows: pd.DataFrame
    cards: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """Task, data, sites and variant on one line."""
        return " · ".join(filter(None, (self.task, self.data, self.sites, self.variant)))


def half_width(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean, by Student's t; NaN below two."""
    n = len(values)
    if n < 2:
        return math.nan
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(quantile * pd.Series(values).std(ddof=1) / math.sqrt(n))


def summarise(
    frame: pd.DataFrame, baseline: str | None = None, expected: Iterable[Cell] = ()
) -> list[Summary]:
    """Summarise the runs of a frame from `analysis.collect`.

    Parameters
    ----------
    frame: pandas.DataFrame
        Runs of any state; the completed ones count, the others are reported missing.
    baseline: str, optional
        The mechanism to subtract.
    expected: iterable of Cell
        Runs that were asked for; those absent from `frame` are reported missing too.

    Raises
    ------
    StudyError
        If two runs fill the same cell, or runs of one summary name different metrics.
    """
    cells = list(dict.fromkeys(expected))
    groups = list(frame.groupby(["task", "data", "version", "recipe"], sort=False, dropna=False))
    recipes = [{"version": key[2]} | json.loads(key[3]) for key, _ in groups]
    summaries = []
    for (key, group), recipe in zip(groups, recipes, strict=True):
        task, data = key[:2]
        rivals = [r for (k, _), r in zip(groups, recipes, strict=True) if k[:2] == (task, data)]
        wanted = [(".".join(sites), m, seed) for t, sites, m, seed in cells if t == task]
        wanted += zip(group["sites"], group["mechanism"], group["seed"], strict=True)
        # A run without sites (nothing is placed anywhere) is compared at all of them.
        for sites in sorted({s for s, _, _ in wanted} - {""}) or [""]:
            here = group[group["sites"].isin([sites, ""])]
            seeds: dict[str, set[int]] = {}
            for _, mechanism, seed in (w for w in wanted if w[0] in (sites, "")):
                seeds.setdefault(mechanism, set()).add(int(seed))
            variant = _variant(recipe, rivals)
            summaries.append(_summary(here, (task, data, sites, variant), baseline, seeds))
    return summaries


def _variant(recipe: dict[str, Any], rivals: list[dict[str, Any]]) -> str:
    keys = sorted({key for rival in rivals for key in rival})
    differ = [key for key in keys if any(r.get(key) != recipe.get(key) for r in rivals)]
    return ", ".join(f"{key}={recipe.get(key)}" for key in differ)


def _summary(
    runs: pd.DataFrame,
    place: tuple[str, str, str, str],
    baseline: str | None,
    seeds: dict[str, set[int]],
) -> Summary:
    task, data, sites, variant = place
    done = runs[(runs["state"] == "completed") & runs["value"].notna()]
    twice = done[done.duplicated(["mechanism", "seed"], keep=False)]
    if len(twice):
        raise StudyError(f"two runs of one cell: {', '.join(twice['id'])}; remove one of them")
    metrics = list(done["metric"].unique())
    if len(metrics) > 1:
        raise StudyError(f"{task} on {data}: runs with different metrics: {', '.join(metrics)}")
    by_mechanism = {m: r.set_index("seed") for m, r in done.groupby("mechanism", sort=False)}
    order = sorted(seeds, key=lambda mechanism: mechanism != baseline)
    reference = by_mechanism.get(baseline)
    rows = pd.DataFrame([_row(m, by_mechanism.get(m), reference) for m in order])
    cards = sorted(set(done["data_card"].dropna()))
    missing = {m: seeds[m] - set(by_mechanism[m].index if m in by_mechanism else ()) for m in order}
    notes = [f"data: {card}" for card in cards]
    notes += _counting(done) + _positions(done) + _warnings(done, rows) + _missing(missing)
    metric = metrics[0] if metrics else ""
    return Summary(task, data, sites, metric, variant, baseline, rows, cards, notes)


def _row(mechanism: str, runs: pd.DataFrame | None, reference: pd.DataFrame | None) -> dict:
    if runs is None:
        numbers = ("mean", "half_width", "difference", *AVERAGED, "peak_memory_bytes")
        return {"mechanism": mechanism, "n": 0} | dict.fromkeys(numbers, math.nan)
    # Subtraction aligns by seed: a seed that only one of the two has gives NaN, which mean() skips.
    paired = math.nan if reference is None else (runs["value"] - reference["value"]).mean()
    return {
        "mechanism": mechanism,
        "n": len(runs),
        "mean": runs["value"].mean(),
        "half_width": half_width(runs["value"]),
        "difference": paired,
        **{name: runs[name].mean() for name in AVERAGED},
        "peak_memory_bytes": runs["peak_memory_bytes"].max(),
    }


def _counting(done: pd.DataFrame) -> list[str]:
    shapes = sorted(set(done["input_shape"].dropna()))
    if not shapes:
        return []
    listed = "; ".join(done["uncounted"].dropna()).split("; ")
    operators = sorted({entry.partition("=")[0] for entry in listed} - {""})
    return [
        f"1 multiply-accumulate = 1; at input shape {' and '.join(shapes)}; "
        f"uncounted operators: {', '.join(operators) or 'none'}"
    ]


def _positions(done: pd.DataFrame) -> list[str]:
    return [f"absolute positions: {p}" for p in sorted(set(done["positions"].dropna()))]


def _warnings(done: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    notes = []
    if len(done) and rows["n"].max() == 1:
        notes.append("one seed: differences between rows cannot be told from noise")
    notes += [
        f"{run.mechanism}, seed {run.seed}: the trained {run.metric} ({run.value:.4g}) is not "
        f"above the untrained one ({run.untrained:.4g})"
        for run in done.itertuples()
        if run.value <= run.untrained
    ]
    return notes


def _missing(missing: dict[str, set[int]]) -> list[str]:
    gaps = [
        f"{mechanism} (seed{'s' * (len(seeds) > 1)} {', '.join(map(str, sorted(seeds)))})"
        for mechanism, seeds in missing.items()
        if seeds
    ]
    return [f"missing: {', '.join(gaps)}"] if gaps else []
