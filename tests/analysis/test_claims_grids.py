"""The grids that are shipped, run to the end, are enough to test the papers' claims."""

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

ROOT = Path(__file__).parents[2]
GRIDS = ROOT / "grids"
QUESTIONS = ROOT / "analysis" / "claims" / "questions.yaml"
FIELD = ROOT / "analysis" / "claims" / "field.yaml"
SETS_LEFT_OUT = {"3a": "no finished run of 0000, 0001, 0101, 1000"}  # a small grid is no factorial


@pytest.mark.parametrize(
    ("folder", "untestable"),
    [(name, {}) for name in ("coco", "cityscapes", "wmt14")]
    + [(f"{name}/small", SETS_LEFT_OUT) for name in ("coco", "cityscapes", "wmt14")],
)
def test_the_grids_of_a_task_test_every_claim_about_it(folder, untestable):
    metric = {"coco": "mAP", "cityscapes": "mIoU", "wmt14": "BLEU"}[folder.split("/")[0]]
    missing = untested([f"{folder}/*.yaml"], metric, load())
    assert missing.keys() == untestable.keys(), missing
    for id, reason in untestable.items():
        assert missing[id].startswith(reason)


@pytest.mark.parametrize(
    ("patterns", "untestable"),
    [
        (["questions/*.yaml"], {"han-7"}),  # the numbers of cells are those of CLEVR
        (["vqa2/*.yaml", "vqa-cp/*.yaml", "clevr/*.yaml"], set()),
    ],
    ids=["embedded", "full scale"],
)
def test_the_grids_of_questions_test_every_claim_of_their_papers(patterns, untestable):
    missing = untested(patterns, "accuracy", load([QUESTIONS]))
    assert missing.keys() == untestable, missing


def test_the_grid_of_the_field_tests_every_claim_of_its_papers():
    own = {claim.id for claim in load([FIELD])} - {claim.id for claim in load()}
    missing = untested(["embedded/field.yaml"], "mIoU", load([FIELD]))
    assert own
    assert not own & missing.keys()


def untested(patterns, metric, claims):
    """Return the claims about the task of grids that their runs cannot test, and why."""
    paths = [path for pattern in patterns for path in GRIDS.glob(pattern)]
    runs = {run.id: run for path in paths for run in load_grid(path).runs()}
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
    claims = [claim for claim in claims if task in claim.tasks]
    tested, reasons = set(), {}
    for verdict in judge(groups(frame), claims):
        if verdict.verdict != "not tested":
            tested.add(verdict.claim.id)
        reasons[verdict.claim.id] = verdict.reason
    return {claim.id: reasons[claim.id] for claim in claims if claim.id not in tested}
