"""What a reader must know of the runs that a table, a figure or a verdict rests on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.runs.table import METRICS
from analysis.stats.model import Model
from plugins.contracts.metric import Metric
from plugins.contracts.tasks import metric_of
from study.runs.contents import short

__all__ = [
    *("cards", "counting", "direction", "failed", "lost", "mixed", "missing"),
    *("of_data", "outlier_note", "outliers", "stuck", "stuck_note", "switches", "valueless"),
]

LOST = ("failed", "oom")
"""States that tell of the training. Runs that are killed, lost or out of time go on mostly, or were
cancelled; they are missing, as planned ones are."""

FAR = 6.0  # residual standard deviations from the other seeds, of an outlier
BY_MECHANISM = {
    "data_card": ("data", "unknown"),
    "commit": ("commits of the code", "unknown"),
    "code": ("uncommitted code", "as committed"),
    "device": ("devices", "unknown"),
}
"""Columns that mechanisms should agree in: what a note calls them, and what is missing in them."""

LARGE = 0.05  # share of the uncounted elements above which an operator is named


def cards(runs: pd.DataFrame) -> list[str]:
    """Return the data cards."""
    return sorted(set(runs["data_card"].dropna()))


def direction(metric: Metric) -> list[str]:
    """Say of a metric that lower is better; nothing where higher is, as everybody expects."""
    return [] if metric.higher_is_better else [f"{metric.name}: lower is better"]


def counting(runs: pd.DataFrame) -> list[str]:
    """Say at which input multiply-accumulates were counted, and which operators were not."""
    shapes = sorted(set(runs["input_shape"].dropna()))
    if not shapes:
        return []
    return [
        f"1 multiply-accumulate = 1; at input shape {' and '.join(shapes)}; "
        f"uncounted operators: {_uncounted(runs['uncounted'])}"
    ]


def _uncounted(listed: pd.Series) -> str:
    """Name the operators that make most elements, and count the others."""
    elements: dict[str, int] = {}
    for entry in filter(None, "; ".join(listed.dropna()).split("; ")):
        name, _, made = entry.partition("=")
        elements[name] = max(elements.get(name, 0), int(made))
    if not elements:
        return "none"
    large = [name for name, made in elements.items() if made >= LARGE * sum(elements.values())]
    large.sort(key=lambda name: -elements[name])
    text = ", ".join(name.removeprefix("aten.").lstrip("_") for name in large)
    if rest := len(elements) - len(large):
        share = f"{100 * LARGE:g} % of the elements"
        text += f" and {rest} more of under {share} each (all: column uncounted of study collect)"
    return text


def of_data(task: str, runs: pd.DataFrame) -> list[str]:
    """Tell what the data alone give, whatever is trained: chance, and bounds."""
    told = []
    for column in runs.columns[runs.columns.str.startswith(METRICS)]:
        metric = metric_of(task, column.removeprefix(METRICS))
        values = runs[column].dropna()
        if metric.of_data and len(values):
            ends = dict.fromkeys(metric.format(value) for value in (values.min(), values.max()))
            told.append(f"{metric.name} {' to '.join(ends)}")
    return [f"the data alone give: {', '.join(told)}"] * bool(told)


def switches(recipe: Mapping[str, Any]) -> list[str]:
    """Say which entries of the recipe are on and which are off: they change what is trained."""
    found = [
        f"{name.replace('_', ' ')} {'on' if value else 'off'}"
        for name, value in sorted(recipe.items())
        if isinstance(value, bool)
    ]
    return [f"recipe: {', '.join(found)}"] if found else []


def mixed(runs: pd.DataFrame) -> list[str]:
    """Say what runs differ in that should differ in mechanism and seed alone.

    Data card, code and device are told where they differ between the runs of a seed. Another
    content of the data set, or of a package that mechanisms are from, is always told: its runs are
    others.

    Parameters
    ----------
    runs: pandas.DataFrame
        Of one group, which should differ in mechanism and seed alone.
    """
    notes = []
    for column, (what, absent) in BY_MECHANISM.items():
        if column not in runs:
            continue
        known = runs[column].fillna(absent)
        # What all runs of a seed share cancels: seeds are blocks.
        if (known.groupby(runs["seed"]).nunique() > 1).any():
            seeds = runs["mechanism"].value_counts()
            users = runs["mechanism"].groupby(known).value_counts(sort=False)
            each = (
                f"{value}: {_users(own.droplevel(0), seeds)}"
                for value, own in users.groupby(level=0)
            )
            notes.append(
                f"DIFFERENT {what} by mechanism, so that a difference may be due to that: "
                f"{'; '.join(each)}"
            )
    return notes + _contents(runs)


def _users(own: pd.Series, seeds: pd.Series) -> str:
    """Name the mechanisms, each with the number of its runs unless it is all of them."""
    return ", ".join(
        word if count == seeds[word] else f"{word} ({count} of {seeds[word]} seeds)"
        for word, count in sorted(own.items())
    )


def _contents(runs: pd.DataFrame) -> list[str]:
    """Name data sets and packages of which runs saw several contents, and who saw which."""
    users: dict[str, dict[str, set[str]]] = {}
    for run in runs.reindex(columns=["mechanism", "data", "data_content", "packages"]).itertuples():
        contents = [(str(run.data), run.data_content)]
        if isinstance(run.packages, str):
            pairs = (each.rpartition("=") for each in run.packages.split("; "))
            contents += [(f"the package {name}", content) for name, _, content in pairs]
        for name, content in contents:
            if isinstance(content, str):
                seen = users.setdefault(name, {})
                seen.setdefault(short(content), set()).add(str(run.mechanism))
    return [
        f"runs of {len(seen)} contents of {name}, which are not comparable: "
        + "; ".join(f"{content}: {', '.join(sorted(words))}" for content, words in seen.items())
        for name, seen in users.items()
        if len(seen) > 1
    ]


def stuck(runs: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the completed runs that training made no better than the untrained network."""
    return runs[metric.sign * (runs["value"] - runs["untrained"]) <= 0]


def stuck_note(runs: pd.DataFrame, metric: Metric) -> list[str]:
    """Name the runs that are `stuck`, in one sentence; none if no run is."""
    named = [
        f"{run.mechanism} seed {run.seed} ({metric.format(run.value)}, "
        f"untrained {metric.format(run.untrained)})"
        for run in stuck(runs, metric).itertuples()
    ]
    side = "above" if metric.higher_is_better else "below"
    return [f"not {side} the metric of the untrained network: {', '.join(named)}"] * bool(named)


def outliers(runs: pd.DataFrame, metric: Metric) -> pd.DataFrame:
    """Return the runs whose training went wrong, going by others of the same mechanism.

    They gained less than half of what the mechanism's other seeds did (the median), and are further
    from these than `FAR` residual standard deviations of all runs that are not suspected.
    """
    gain = metric.sign * (runs["value"] - runs["untrained"])
    usual = pd.Series(
        {
            place: gain[(runs["mechanism"] == word) & (runs.index != place)].median()
            for place, word in runs["mechanism"].items()
        },
        dtype=float,
    )
    suspects = (usual > 0) & (gain < usual / 2)
    if not suspects.any():
        return runs[suspects]
    sd = Model(runs[~suspects]).sd
    return runs[suspects & ~(usual - gain <= FAR * sd)]


def outlier_note(runs: pd.DataFrame, metric: Metric) -> list[str]:
    """Name the runs that are `outliers`, in one sentence; none if no run is."""
    odd = outliers(runs, metric)
    named = [
        f"{run.mechanism} seed {run.seed} ({metric.format(run.value)})"
        for run in odd.drop(stuck(odd, metric).index).itertuples()  # those are named already
    ]
    return [
        "outliers, below half of what other seeds of the mechanism gained, by which no verdict is "
        f"decided: {', '.join(named)}"
    ] * bool(named)


def lost(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the runs that failed, for want of memory too, or finished without a value."""
    valueless = (runs["state"] == "completed") & runs["value"].isna()
    return runs[runs["state"].isin(LOST) | valueless]


def failed(runs: pd.DataFrame) -> list[str]:
    """Name the runs that failed, in one sentence; none if no run did."""
    named = [
        f"{run.mechanism} seed {run.seed}{'' if run.state == 'failed' else f' ({run.state})'}"
        for run in runs[runs["state"].isin(LOST)].itertuples()
    ]
    return [f"failed, and left out: {', '.join(named)}"] * bool(named)


def valueless(runs: pd.DataFrame) -> list[str]:
    """Name the completed runs among `runs` that have no value of their metric."""
    lacking = runs[(runs["state"] == "completed") & runs["value"].isna()]
    if lacking.empty:
        return []
    named = [f"{run.mechanism} seed {run.seed}" for run in lacking.itertuples()]
    metrics = " or ".join(sorted(set(lacking["metric"])))
    return [f"finished without a value of {metrics}, and left out: {', '.join(named)}"]


def missing(asked: Mapping[str, frozenset[int]], runs: pd.DataFrame) -> list[str]:
    """Name the seeds that were asked for, by mechanism, and that no completed run has."""
    completed = runs[runs["state"] == "completed"]
    there = completed.groupby("mechanism")["seed"].agg(set).to_dict()
    together: dict[tuple[int, ...], list[str]] = {}
    for mechanism, seeds in asked.items():
        if lacking := seeds - there.get(mechanism, set()):
            together.setdefault(tuple(sorted(lacking)), []).append(mechanism)
    gaps = [
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} of {', '.join(mechanisms)}"
        for seeds, mechanisms in together.items()
    ]
    return [f"missing: {'; '.join(gaps)}"] if gaps else []
