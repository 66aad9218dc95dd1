"""What docs/controls.md says of the archived runs is what they show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from command import study

from plugins.attention.core.word import TERM_SETS
from plugins.controls.scenes import NEEDS

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "controls.md"
CLAIMS = {
    "the term is needed": "needed",
    "it is enough": "enough",
    "without it there is chance": "chance",
}
"""The page's words for the claims about each scene."""


def told():
    """The verdicts in the table of the page, by scene and claim."""
    lines = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in PAGE.read_text().splitlines()
        if line.startswith("| claim |") or line.startswith(tuple(f"| {name} |" for name in CLAIMS))
    ]
    (_, *scenes), *rows = lines
    return {
        scene: {CLAIMS[name]: verdict for name, verdict in ((row[0], row[at]) for row in rows)}
        for at, scene in enumerate(scenes, 1)
    }


@pytest.mark.parametrize("scene", NEEDS)
def test_the_page_has_the_verdicts_on_the_archive(scene):
    grid = ROOT / f"grids/controls/{scene}.yaml"
    file = ROOT / f"analysis/controls/{scene}.yaml"
    done = study("claims", grid, "--claims", file, "--format", "json")
    assert done.returncode == 0, done.stderr
    found = {
        each["claim"].removeprefix(f"{scene}-"): each["verdict"]
        for each in json.loads(done.stdout)["verdicts"]
        if each["claim"].startswith(f"{scene}-")
    }
    assert found == told()[scene]


def accuracies(scene):
    """All accuracies in the archive of a scene, by mechanism, in points."""
    rows = []
    for path in (ROOT / "results/controls" / scene).glob("*.json"):
        run = json.loads(path.read_text())
        rows.append((run["run"]["science"]["mechanism"], run["result"]["metrics"]["accuracy"]))
    frame = pd.DataFrame(rows, columns=["mechanism", "accuracy"])
    frame["accuracy"] *= 100
    assert len(frame) == 60
    return frame.groupby("mechanism")["accuracy"]


@pytest.mark.parametrize("scene", NEEDS)
def test_what_has_the_terms_answers_and_nothing_is_at_chance(scene, solved):
    found = accuracies(scene)
    able = [word for word in TERM_SETS if solved(scene, word)]
    low, high = map(
        int, re.search(r"has what the answer needs, (\d+) to (\d+)\n", PAGE.read_text()).groups()
    )
    apart = {
        "salient": {"0010"},
        "offset": {"0110", "1101", "1110"},
        "ally": {"1001", "1011"},
    }
    best = found.max()[able].round()
    assert best.between(low, high).all()
    spread = (found.max() - found.min())[able]
    assert {*spread.index[spread > 5]} == apart.get(scene, set())
    assert found.mean()["0000"] == pytest.approx(found.mean()["none"], abs=1)
