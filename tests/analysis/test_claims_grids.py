"""The grids that are shipped, run to the end, are enough to test the paper's claims."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.runs.table import FIELDS
from analysis.stats.claims import judge, load
from analysis.stats.group import groups
from study.grid.reading import load as load_grid

GRIDS = Path(__file__).parents[2] / "grids"
SETS_LEFT_OUT = {"3a": "no finished run of 0000, 0001, 0101, 1000"}  # a small grid is no factorial


@pytest.mark.parametrize(
    ("folder", "untestable"),
    [(name, {}) for name in ("coco", "cityscapes", "wmt14")]
    + [(f"{name}/small", SETS_LEFT_OUT) for name in ("coco", "cityscapes", "wmt14")],
)
def test_the_grids_of_a_task_test_every_claim_about_it(folder, untestable):
    runs = {r.id: r for path in (GRIDS / folder).glob("*.yaml") for r in load_grid(path).runs()}
    metric = {"coco": "mAP", "cityscapes": "mIoU", "wmt14": "BLEU"}[folder.split("/")[0]]
    frame = pd.DataFrame(
        {
            "id": run.id,
            "task": run.task,
            "data": run.science["recipe"]["data"],
            "mechanism": str(run.mechanism),
            "sites": ".".join(run.sites),
            "seed": run.seed,
            "version": run.science["version"],
            "recipe": json.dumps(run.science["recipe"], sort_keys=True),
        }
        for run in runs.values()
    )
    frame = frame.reindex(columns=list(FIELDS))
    frame = frame.assign(state="completed", metric=metric, untrained=0.0)
    frame["value"] = np.random.default_rng(1).normal(20, 1, len(frame))
    frame[["mechanism_macs", "model_macs"]] = 1e6
    (task,) = set(frame["task"])
    claims = [claim for claim in load() if task in claim.tasks]
    tested, reasons = set(), {}
    for verdict in judge(groups(frame), claims):
        if verdict.verdict != "not tested":
            tested.add(verdict.claim.id)
        reasons[verdict.claim.id] = verdict.reason
    missing = {c.id: reasons[c.id] for c in claims if c.id not in tested}
    assert missing.keys() == untestable.keys(), missing
    for id, reason in untestable.items():
        assert missing[id].startswith(reason)
