"""The plan before the runs: forward, backward, and what is asked for in the wrong way."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest
import typer
from command import study
from typer.testing import CliRunner
from worlds import world

from analysis.commands.seeds import seeds
from analysis.figures.power import draw
from analysis.runs.collect import collect
from analysis.stats.claimfile import load
from analysis.stats.group import groups
from analysis.stats.seeds import Scatter, plans, scatter
from analysis.tables.seeds import show
from study.errors import StudyError
from study.grid.reading import load as load_grid
from study.runs.archive import every_run
from study.screen import Screen

GRIDS = Path(__file__).parents[2] / "grids"
SMALL = """\
task: translation
recipe: {data: software-en-de}
product:
  mechanism: [none, 0010, 0011, 0111, 1111]
  sites: [self]
seeds: [0, 1, 2, 3]
"""


@pytest.fixture
def grid(tmp_path):
    path = tmp_path / "grid.yaml"
    path.write_text(SMALL)
    return path


@pytest.fixture
def call():
    """Return a function that runs the verb."""
    app = typer.Typer()
    app.command()(seeds)

    def run(*arguments):
        result = CliRunner().invoke(app, [*map(str, arguments)])
        if isinstance(result.exception, StudyError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def planned(grid, sd, gain=1.0):
    made = plans(load_grid(grid).runs(), load(), lambda group: Scatter(sd, "given"), gain)
    return {plan.claim.id: plan for plan in made}


def test_the_smallest_effect_that_is_seen_is_the_one_with_a_chance_of_80_percent(grid):
    there = planned(grid, 0.3)
    assert {id for id, plan in there.items() if plan.chances} == {"1a", "1b", "3d"}
    for id in ("1a", "3d"):
        again = planned(grid, 0.3, there[id].smallest / there[id].unit)[id]
        assert again.planned == 4
        assert again.chances[4] == pytest.approx(0.8, abs=0.001)
        assert again.needed == 4


def test_more_seeds_and_less_scatter_tell_more(grid):
    some, more = planned(grid, 0.4), planned(grid, 0.2)
    for id in ("1a", "1b", "3d"):
        chances = some[id].chances
        # But for the error of the simulation, where all is seen already.
        assert sorted(chances.values()) == pytest.approx(
            [chances[n] for n in sorted(chances)], abs=0.02
        )
        assert more[id].smallest < some[id].smallest
        assert more[id].chances[3] > some[id].chances[3]
    assert some["1a"].chances[5] < some["3d"].chances[5]  # three tests, not one


def test_seeds_that_are_needed_are_the_fewest_that_do(grid):
    plan = planned(grid, 0.4)["1b"]
    assert plan.chances[plan.needed] >= 0.8 > plan.chances[plan.needed - 1]


def test_an_equivalence_that_no_seeds_can_support_is_named(call, grid):
    said = call(grid, "--sd", "3").stdout
    assert "4 seeds cannot support, whatever is true: 1b" in said
    assert re.search(r"\| 1b .* > 18 \|", said)


def test_the_same_as_markdown_csv_and_json(call, grid, tmp_path):
    found = json.loads(call(grid, "--sd", "BLEU=0.3", "--format", "json").stdout)
    text = call(grid, "--sd", "0.3", "--format", "csv").stdout
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    for claim in found["claims"]:
        own = {row["seeds"]: row for row in rows if row["claim"] == claim["claim"]}
        assert {n: float(row["chance"]) for n, row in own.items() if n} == claim["chances"]
        assert {row["planned"] for row in own.values()} == {"4"}
    of = {claim["claim"]: claim for claim in found["claims"]}
    out = tmp_path / "plan.md"
    call(grid, "--sd", "0.3", "--out", out)
    (line,) = (line for line in out.read_text().splitlines() if line.startswith("| 1a "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    chances = [f"{100 * of['1a']['chances'][n]:.0f}" for n in ("2", "3", "4", "5", "8", "12", "18")]
    assert cells[:9] == ["1a", "3 greater", *chances]
    assert cells[9] == str(of["1a"]["needed"])
    assert cells[10] == f"{of['1a']['seen']:.2f}"


def test_on_a_terminal_of_80_columns_nothing_is_wider(grid):
    made = list(planned(grid, 0.3).values())
    screen = Screen(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    show(made, 1.0, screen)
    lines = screen.file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split()[:3] == ["1a", "3", "greater"] for line in lines)


def test_the_figure_has_a_panel_for_each_claim_that_seeds_decide(grid, tmp_path):
    first, again = tmp_path / "power.svg", tmp_path / "again.svg"
    made = list(planned(grid, 0.3).values())
    for path in (first, again):
        assert draw(made, 1.0, path) == path
    assert first.read_bytes() == again.read_bytes()
    comments = re.findall(r"<!-- (.*?) -->", first.read_text())
    assert [c.split()[0] for c in comments if re.match(r"\d\w  ", c)] == ["1a", "1b", "3d"]


def test_the_scatter_of_several_groups_is_pooled_over_their_degrees_of_freedom():
    two = world({"0010": 20, "0111": 20, "1111": 21}, seeds=2)
    two["value"] += [0.0, 0.4, 0.0, 0.0, 0.0, 0.2]  # the seeds' common 0.2 is no scatter
    more = world({"0010": 20, "1111": 21}, seeds=2, sites="cross")
    more["value"] += [0.0, 0.6, 0.0, 0.0]
    (found,) = scatter(groups(pd.concat([two, more], ignore_index=True))).values()
    squares = 2 * 0.1**2 + 2 * 0.1**2, 4 * 0.15**2
    assert found.sd == pytest.approx((sum(squares) / (2 + 1)) ** 0.5)
    assert "on 3 degrees of freedom" in found.source


@pytest.mark.parametrize("like", [True, False])
def test_the_scatter_is_that_of_the_grids_finished_runs_or_of_others_like_it(call, grid, like):
    trained = GRIDS / "embedded/encoder.yaml"
    options = [str(grid), "--like", str(trained)] if like else [str(trained)]
    found = json.loads(call(*options, "--format", "json").stdout)
    runs = [folder for folder in every_run(Path()) if folder.path.name in ids(trained)]
    (group,) = groups(collect(runs))
    for claim in found["claims"]:
        assert claim["sd"] == pytest.approx(group.model.sd)


def ids(path):
    return {run.id for run in load_grid(path).runs()}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "how much does BLEU of translation scatter over seeds?"),
        (["--sd", "mAP=0.002"], "--sd mAP: no run has that metric; valid: BLEU"),
        (["--sd", "blue=1"], "valid: BLEU"),
        (["--sd", "BLEU=0"], "--sd BLEU=0: write METRIC=VALUE, a number above 0"),
        (["--sd", "much"], "--sd BLEU=much: write METRIC=VALUE, a number above 0"),
        (["--sd", "1", "--sd", "2"], "--sd 1 2: say of which metric: --sd BLEU=VALUE"),
        (["--sd", "1", "--like", "grid.yaml"], "--sd and --like"),
        (["--sd", "1", "--gain", "0"], "--gain 0: a number above 0"),
        (["--sd", "1", "--figure", "power.gif"], "--figure power.gif: the name ends in .svg"),
        (["--sd", "1", "--margin", "blue=1"], "--margin blue: no run and no claim"),
    ],
)
def test_what_cannot_be_answered_is_said(call, grid, options, said):
    with pytest.raises(StudyError, match=re.escape(said)):
        call(str(grid), *options)


def test_an_unknown_scatter_ends_with_a_sentence_and_code_2(grid):
    done = study("seeds", grid)
    assert done.returncode == 2
    assert done.stderr.startswith("error: how much does BLEU of translation scatter over seeds?")
    assert "--sd BLEU=VALUE" in done.stderr
    assert "--like GRIDS" in done.stderr


@pytest.mark.parametrize("name", ["coco/dynamic", "wmt14/encoder_decoder"])
def test_the_head_of_a_full_scale_grid_says_what_its_seeds_can_tell(name):
    path = GRIDS / f"{name}.yaml"
    head = " ".join(
        line.removeprefix("#").strip() for line in path.read_text().split("task:")[0].splitlines()
    )
    sd = float(re.search(r"at an sd of ([\d.]+)", head)[1])
    told = {id: int(percent) for percent, id in re.findall(r"(\d+) % \((\d\w)\)", head)}
    made = planned(path, sd)
    assert told == {id: round(100 * plan.chances[3]) for id, plan in made.items() if plan.chances}
