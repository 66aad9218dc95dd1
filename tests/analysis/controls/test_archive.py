"""What docs/controls.md says of the archived runs is what they show."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest
from command import study

from plugins.attention.core.word import TERM_SETS
from plugins.controls.scenes import NEEDS, outputs

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


APART = {"salient": {"0010"}, "offset": {"0110", "1101", "1110"}, "ally": {"1001", "1011"}}
"""Sets that can answer, and whose seeds the page says lie far apart."""


def test_the_page_has_the_accuracies_of_the_sets_that_can_answer(solved):
    reached = []
    for scene in NEEDS:
        found = accuracies(scene)
        able = [word for word in TERM_SETS if solved(scene, word)]
        spread = (found.max() - found.min())[able]
        assert {*spread.index[spread > 5]} == APART.get(scene, set())
        reached += found.mean()[able].drop(list(APART.get(scene, ()))).tolist()
    said = re.search(r"answers (\d+) to (\d+) of 100 questions,\n", PAGE.read_text())
    assert [round(min(reached)), round(max(reached))] == [*map(int, said.groups())]


@pytest.mark.parametrize("scene", NEEDS)
def test_none_and_plain_means_answer_by_chance(scene):
    found = accuracies(scene).mean()
    chance = 100 / outputs(scene)
    assert found["none"] == pytest.approx(chance, abs=1.1)
    assert found["0000"] == pytest.approx(chance, abs=1.1)
