"""Runs of the grids of positive controls, with values that are made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.runs.table import FIELDS
from plugins.attention.core.word import TERM_SETS
from study.grid.reading import load

GRIDS = Path(__file__).parents[3] / "grids" / "controls"

ANSWERED = {
    "twin": lambda e1, e2, e3, e4: e1,
    "pointer": lambda e1, e2, e3, e4: e2,
    "salient": lambda e1, e2, e3, e4: e3 or e1,
    "offset": lambda e1, e2, e3, e4: e4 or e2,
    "ally": lambda e1, e2, e3, e4: e1 and (e2 or e4),
}
"""Which sets of terms answer, as the grids say at their head."""

NARROWED = {
    "twin": lambda e1, e2, e3, e4: e2 and e3,
    "pointer": lambda e1, e2, e3, e4: e4,
    "ally": lambda e1, e2, e3, e4: e1 or e2,
}
"""Which sets narrow an answer down, if they do not find it."""

Values = Mapping[tuple[str, str], float]


@pytest.fixture
def words() -> list[str]:
    """The mechanisms of the grids, in their order."""
    return [word for word, _ in load(GRIDS / "twin.yaml").cells()]


@pytest.fixture
def solved() -> Callable[[str, str], bool]:
    """Whether a mechanism answers the questions about a kind of scene."""

    def able(scene: str, word: str) -> bool:
        return word in TERM_SETS and ANSWERED[scene](*(bit == "1" for bit in word))

    return able


@pytest.fixture
def narrowed() -> Callable[[str, str], bool]:
    """Whether a mechanism narrows answers down, or finds them."""

    def near(scene: str, word: str) -> bool:
        rule = NARROWED.get(scene, lambda *terms: False)
        return word in TERM_SETS and rule(*(bit == "1" for bit in word))

    return near


@pytest.fixture
def trained(solved, narrowed) -> Callable[..., pd.DataFrame]:
    """Return a function that makes the runs of grids, `values` other than usual by their ends.

    Who can answer is right in .9 of the questions, who can narrow the answer down in .25, and who
    cannot in .15, as the untrained network is; seeds differ by `sd`.
    """

    def make(*scenes: str, values: Values | None = None, sd: float = 0.004) -> pd.DataFrame:
        chance = np.random.default_rng(0)
        rows = []
        for scene in scenes or ANSWERED:
            for run in load(GRIDS / f"{scene}.yaml").runs():
                near = 0.25 if narrowed(scene, run.mechanism) else 0.15
                usual = 0.9 if solved(scene, run.mechanism) else near
                mean = (values or {}).get((scene, run.mechanism), usual)
                looks = run.mechanism in TERM_SETS
                rows.append(
                    {
                        "id": run.id,
                        "task": run.task,
                        "data": "control-scenes",
                        "mechanism": run.mechanism,
                        "sites": ".".join(run.sites),
                        "seed": run.seed,
                        "version": 1,
                        "recipe": json.dumps(run.science["recipe"]),
                        "value": mean + sd * float(chance.standard_normal()),
                        "metrics.pointing": mean / 2 if looks else np.nan,
                    }
                )
        frame = pd.DataFrame(rows)
        constant = {"state": "completed", "metric": "accuracy", "untrained": 0.15}
        macs = {"mechanism_macs": 1e6, "model_macs": 1e9}
        frame = frame.assign(**constant, **macs, data_card="scenes: 3000, 100% composed")
        return frame.reindex(columns=list(dict.fromkeys([*FIELDS, *frame])))

    return make
