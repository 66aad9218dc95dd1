"""Seeds into means: one summary per (task, data, sites), one row per mechanism.

Tables and figures show these numbers, so that they cannot disagree. Runs of different recipes, or
of different versions of a recipe's code, are never averaged: each gets a summary of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pandas as pd
from scipy import stats

from analysis.stats.comparable import by_recipe, finished, mixed, stuck_note, title

__all__ = ["Cell", "Summary", "half_width", "paired", "summarise"]

CONFIDENCE = 0.95
LARGE = 0.05  # share of the uncounted elements above which an operator is named

Cell = tuple[str, tuple[str, ...], str, int]
"""A run that a grid asks for: task, sites, mechanism, seed."""

AVERAGED = (
    *("untrained", "loss_first", "loss_last"),
    *("model_macs", "model_parameters", "mechanism_macs", "mechanism_parameters", "seconds"),
)

ESTIMATES = ("mean", "half_width", "difference", "difference_half_width")
COLUMNS = ("mechanism", "n", "asked", *ESTIMATES, "pairs", *AVERAGED, "peak_memory_bytes")


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
        One row a mechanism, the baseline first: ``mechanism``, ``n`` (finished seeds), ``asked``
        (seeds that were to be run), ``mean``, ``half_width`` (of the 95 % confidence interval),
        ``difference`` (mean over the seeds that both have of mechanism minus baseline) with
        ``difference_half_width`` and ``pairs`` (how many seeds both have), the means of the
        columns `AVERAGED` and the largest ``peak_memory_bytes``. Missing numbers are NaN.
    cards: list of str
        The data cards.
    notes: list of str
        What a reader must know to read the rows, a sentence each, the cards first.
    published: dict of str to str
        Columns of `rows` that hold values of others, and what heads each; see
        `analysis.tables.published.beside`.
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
    published: dict[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Task, data, sites and variant on one line."""
        return title(self.task, self.data, self.sites, self.variant)


def half_width(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean, by Student's t; NaN below two."""
    n = len(values)
    if n < 2:
        return math.nan
    quantile = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)
    return float(quantile * pd.Series(values).std(ddof=1) / math.sqrt(n))


def paired(values: pd.Series, reference: pd.Series | None) -> dict[str, float]:
    """Subtract `reference` from `values`, both indexed by seed.

    Returns ``difference``, ``difference_half_width`` and ``pairs`` as `Summary.rows` has them; NaN
    where there is nothing to subtract.
    """
    others = pd.Series(dtype=float) if reference is None else reference
    # Subtraction aligns by seed: a seed that only one of the two has gives NaN.
    differences = (values - others).dropna()
    return {
        "difference": differences.mean(),
        "difference_half_width": half_width(differences),
        "pairs": len(differences),
    }


def summarise(
    frame: pd.DataFrame, baseline: str | None = None, expected: Iterable[Cell] = ()
) -> list[Summary]:
    """Summarise the runs of a frame from `analysis.runs.collect`.

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
    summaries = []
    for task, data, variant, group in by_recipe(frame):
        wanted = [(".".join(sites), m, seed) for t, sites, m, seed in cells if t == task]
        wanted += zip(group["sites"], group["mechanism"], group["seed"], strict=True)
        # A run without sites (nothing is placed anywhere) is compared at all of them.
        for sites in sorted({s for s, _, _ in wanted} - {""}) or [""]:
            here = group[group["sites"].isin([sites, ""])]
            seeds: dict[str, set[int]] = {}
            for _, mechanism, seed in (w for w in wanted if w[0] in (sites, "")):
                seeds.setdefault(mechanism, set()).add(int(seed))
            summaries.append(_summary(here, (task, data, sites, variant), baseline, seeds))
    return summaries


def _summary(
    runs: pd.DataFrame,
    place: tuple[str, str, str, str],
    baseline: str | None,
    seeds: dict[str, set[int]],
) -> Summary:
    task, data, sites, variant = place
    done, metric = finished(runs, f"{task} on {data}")
    by_mechanism = {m: r.set_index("seed") for m, r in done.groupby("mechanism", sort=False)}
    order = sorted(seeds, key=lambda mechanism: mechanism != baseline)
    reference = by_mechanism.get(baseline)
    measured = [_row(m, by_mechanism.get(m), reference) | {"asked": len(seeds[m])} for m in order]
    rows = pd.DataFrame(measured, columns=COLUMNS)
    # The difference of the baseline to itself is no estimate.
    rows.loc[rows["mechanism"] == baseline, "difference_half_width"] = math.nan
    cards = sorted(set(done["data_card"].dropna()))
    missing = {m: seeds[m] - set(by_mechanism[m].index if m in by_mechanism else ()) for m in order}
    notes = [f"data: {card}" for card in cards]
    notes += _intervals(rows, baseline) + _counting(done) + _positions(done)
    valueless = runs[(runs["state"] == "completed") & runs["value"].isna()]
    for mechanism, seed in zip(valueless["mechanism"], valueless["seed"], strict=True):
        missing[mechanism].discard(seed)
    notes += _warnings(done, rows) + _valueless(valueless) + _missing(missing)
    return Summary(task, data, sites, metric, variant, baseline, rows, cards, notes)


def _row(mechanism: str, runs: pd.DataFrame | None, reference: pd.DataFrame | None) -> dict:
    if runs is None:
        missing = dict.fromkeys((*ESTIMATES, *AVERAGED, "peak_memory_bytes"), math.nan)
        return {"mechanism": mechanism, "n": 0, "pairs": 0} | missing
    return {
        "mechanism": mechanism,
        "n": len(runs),
        "mean": runs["value"].mean(),
        "half_width": half_width(runs["value"]),
        **paired(runs["value"], None if reference is None else reference["value"]),
        **{name: runs[name].mean() for name in AVERAGED},
        "peak_memory_bytes": runs["peak_memory_bytes"].max(),
    }


def _intervals(rows: pd.DataFrame, baseline: str | None) -> list[str]:
    if rows["half_width"].isna().all():
        return []
    paired = ""
    if rows["difference_half_width"].notna().any():
        paired = (
            f"; Δ {baseline}: the mean, over the n seeds that both have, of mechanism minus "
            f"{baseline}, with its own interval"
        )
    return [f"±: half the 95 % confidence interval of a mean over n seeds (Student's t){paired}"]


def _counting(done: pd.DataFrame) -> list[str]:
    shapes = sorted(set(done["input_shape"].dropna()))
    if not shapes:
        return []
    return [
        f"1 multiply-accumulate = 1; at input shape {' and '.join(shapes)}; "
        f"uncounted operators: {_uncounted(done['uncounted'])}"
    ]


def _uncounted(listed: pd.Series) -> str:
    """The operators that make most elements by name, the others by their number."""
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


def _positions(done: pd.DataFrame) -> list[str]:
    return [f"absolute positions: {p}" for p in sorted(set(done["positions"].dropna()))]


def _warnings(done: pd.DataFrame, rows: pd.DataFrame) -> list[str]:
    notes = []
    if len(done) and rows["n"].max() == 1:
        notes.append("one seed: differences between rows cannot be told from noise")
    return notes + mixed(done) + stuck_note(done)


def _valueless(runs: pd.DataFrame) -> list[str]:
    if runs.empty:
        return []
    named = [f"{run.mechanism} seed {run.seed}" for run in runs.itertuples()]
    metrics = " or ".join(sorted(set(runs["metric"])))
    return [f"finished without a value of {metrics}, and left out: {', '.join(named)}"]


def _missing(missing: dict[str, set[int]]) -> list[str]:
    together: dict[tuple[int, ...], list[str]] = {}
    for mechanism, seeds in missing.items():
        if seeds:
            together.setdefault(tuple(sorted(seeds)), []).append(mechanism)
    gaps = [
        f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))} of {', '.join(mechanisms)}"
        for seeds, mechanisms in together.items()
    ]
    return [f"missing: {'; '.join(gaps)}"] if gaps else []
