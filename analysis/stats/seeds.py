"""A plan before the runs: how many seeds the claims about a grid need, and what its own can tell.

Of each claim that the grid can test: the chance that it is called supported where it is true, all
of its tests together, and how large an effect must be for its seeds. ``docs/statistics.md`` says
what is taken for true.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from analysis.runs.table import FIELDS
from analysis.stats.claimfile import Claim
from analysis.stats.group import Group, groups
from analysis.stats.power import TABLES, Noise, seen
from analysis.stats.readings import Contrast, Cost, read
from analysis.stats.verdicts import POWER, Outcome
from plugins.contracts.tasks import find_task
from study.errors import StudyError, nearest
from study.runs.run import Run

__all__ = ["MOST", "SHOWN", "Plan", "Scatter", "expected", "plans", "scatter"]

SHOWN = (2, 3, 5, 8, 12, 18)
"""Numbers of seeds that tables show, beside the grid's own."""

MOST = SHOWN[-1]
"""Seeds up to which the number is looked for that a claim needs."""


@dataclass(frozen=True)
class Scatter:
    """Standard deviation over seeds, in units of the metric, and where it is from."""

    sd: float
    source: str


@dataclass(eq=False)
class Plan:
    """What seeds can tell of one claim.

    Parameters
    ----------
    group: Group
        The grid's runs, none of which need exist.
    contrasts: sequence of Contrast
        Its tests of accuracy; none if it is about cost alone.
    costs: int
        Its comparisons of MACs.
    missing: str
        Why the grid cannot test it; empty if it can.
    chances: dict of int to float
        Of being called supported, by number of seeds.
    smallest: float
        How far beyond its bounds the effects must lie to be seen with a chance of 80 % with the
        planned seeds, in units of the metric: to support the claim; to refute it if it consists of
        equivalences. NaN where no size is.
    """

    claim: Claim
    group: Group
    planned: int
    scatter: Scatter
    contrasts: Sequence[Contrast] = ()
    costs: int = 0
    missing: str = ""
    chances: dict[int, float] = field(default_factory=dict)
    smallest: float = math.nan

    @property
    def needed(self) -> int | None:
        """Seeds from which on the chance is 80 %; None if more than `MOST` are needed."""
        found = None
        for n in sorted(self.chances, reverse=True):
            if n <= MOST and self.chances[n] < POWER:
                break
            found = n
        return found if found is None or found <= MOST else None

    @property
    def failing(self) -> int:
        """The largest number of seeds below `needed` of which it is known that they do not do."""
        return max((n for n in self.chances if n < (self.needed or 0)), default=1)

    @property
    def unit(self) -> float:
        """The metric's margin."""
        return self.claim.margins[self.group.metric.name]

    @property
    def equivalences(self) -> bool:
        """Whether equivalences are all it consists of."""
        return all(test.kind == "equivalent" for test in self.contrasts)


def expected(runs: Iterable[Run]) -> pd.DataFrame:
    """Return runs as the table will have them once they are finished; each value is 0."""
    rows = []
    for run in {run.id: run for run in runs}.values():
        versions = run.science.get("mechanisms", {})
        rows.append(
            {
                "id": run.id,
                "task": run.task,
                "data": run.science["recipe"]["data"],
                "mechanism": run.mechanism,
                "sites": ".".join(run.sites),
                "seed": run.seed,
                "version": run.science["version"],
                "recipe": json.dumps(run.science["recipe"], sort_keys=True),
                "unused": ", ".join(run.science.get("unused", ())) or None,
                "mechanism_versions": "; ".join(f"{k}={v}" for k, v in versions.items()) or None,
                "metric": find_task(run.task).metrics[0].name,
            }
        )
    frame = pd.DataFrame(rows).reindex(columns=list(FIELDS))
    # Costs are not counted here: where all are alike, nothing is left out for being dearer.
    return frame.assign(state="completed", value=0.0, model_macs=1.0, mechanism_macs=1.0)


def scatter(found: Iterable[Group]) -> dict[tuple[str, str], Scatter]:
    """Return the residual scatter of finished runs by task and metric, pooled over their groups."""
    parts: dict[tuple[str, str], list[Group]] = {}
    for group in found:
        if len(group.done) and group.model.df and group.model.sd:
            parts.setdefault((group.task, group.metric.name), []).append(group)
    pooled = {}
    for key, members in parts.items():
        df = sum(group.model.df for group in members)
        squares = sum(group.model.df * float(group.model.sd) ** 2 for group in members)
        named = "; ".join(group.title for group in members)
        source = f"of finished runs on {df} degrees of freedom ({named})"
        pooled[key] = Scatter(math.sqrt(squares / df), source)
    return pooled


def plans(
    runs: Sequence[Run],
    claims: Sequence[Claim],
    scatter_of: Callable[[Group], Scatter],
    gain: float = 1.0,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Plan]:
    """Simulate what seeds can tell.

    Parameters
    ----------
    runs: sequence of Run
        Of the grid, or of several whose runs are compared.
    claims: sequence of Claim
        Those about other tasks or sites are left out.
    scatter_of: callable
        Tells the scatter of a group's metric over seeds.
    gain: float
        How far inside its region each contrast lies that is no equivalence, in margins.
    tell: callable
        Told what is being done.

    Raises
    ------
    StudyError
        If a group's metric has no margin.
    """
    made: list[Plan] = []
    for group in groups(expected(runs)):
        about = [claim for claim in claims if claim.applies(group.task, group.sites, group.recipe)]
        if not about:
            continue
        metric = group.metric.name
        if metric not in about[0].margins:
            hint = nearest(metric, about[0].margins)
            raise StudyError(f"no margin is agreed for {metric}{hint}; add --margin {metric}=VALUE")
        planned, found = min(group.seeds.values()), scatter_of(group)
        made += [Plan(claim, group, planned, found, **_tests(claim, group)) for claim in about]
    for group in dict.fromkeys(plan.group for plan in made):
        open_ = [plan for plan in made if plan.group is group and plan.contrasts]
        _simulate([plan for plan in open_ if not plan.missing], gain, tell)
    return made


def _tests(claim: Claim, group: Group) -> dict[str, Any]:
    tests = read(claim, group)
    reasons = dict.fromkeys(test.reason for test in tests if isinstance(test, Outcome))
    return {
        "contrasts": [test for test in tests if isinstance(test, Contrast)],
        "costs": sum(isinstance(test, Cost) for test in tests),
        "missing": "; ".join(reasons),
    }


def _simulate(plans: Sequence[Plan], gain: float, tell: Callable[[str], None]) -> None:
    """Fill in what simulated tables say of the claims about one group."""
    if not plans:
        return
    planned = plans[0].planned

    def simulate(n: int, about: Sequence[Plan]) -> None:
        tell(f"{plans[0].group.title}: {n} seeds")
        noise = Noise(_cells(plans[0].group, n))
        for plan in about:
            each = noise.supported(plan.contrasts, plan.scatter.sd, gain * plan.unit)
            plan.chances[n] = float(np.mean(each))
            if n == planned:
                plan.smallest = _smallest(plan, noise)

    for n in sorted({*SHOWN, planned}):
        simulate(n, plans)
    # Between two of those the number lies that a claim needs.
    inside = {plan: range(plan.failing + 1, plan.needed or 0) for plan in plans}
    for n in range(2, MOST):
        if about := [plan for plan in plans if n in inside[plan]]:
            simulate(n, about)


def _cells(group: Group, seeds: int) -> pd.DataFrame:
    words = list(group.seeds)
    return pd.DataFrame(
        {"mechanism": np.repeat(words, seeds), "seed": np.tile(np.arange(seeds), len(words))}
    )


def _smallest(plan: Plan, noise: Noise) -> float:
    sd, tests = plan.scatter.sd, plan.contrasts
    if plan.equivalences:
        count = len(tests)
        sizes = [
            seen(functools.partial(noise.refuted, test, count, sd), TABLES, sd) for test in tests
        ]
    else:
        sizes = [seen(functools.partial(noise.supported, tests, sd), TABLES, sd)]
    size = max(float(np.quantile(each, POWER, method="higher")) for each in sizes)
    return max(size, 0.0) if math.isfinite(size) else math.nan
