"""``study effects``: what is written, and what is said where there is no factorial."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner
from worlds import world

from analysis.commands.effects import effects as verb
from analysis.stats.effects import TERM_SETS, effects
from analysis.stats.group import groups
from analysis.tables.effects import csv, markdown
from study.errors import StudyError

MEANS = {word: 20 + 2 * (word[1] == "1") - 0.5 * (word[0] == "1") for word in TERM_SETS}


@pytest.fixture
def found():
    frame = world(MEANS | {"none": 18}, seeds=2, sd=0.2, rng=np.random.default_rng(3),
                  macs={word: 1e6 + 4e5 * (word[1] == "1") for word in MEANS})  # fmt: skip
    return effects(groups(frame))


def test_markdown_shows_effect_interval_p_and_cost(found):
    text = markdown(found)
    lines = text.splitlines()
    assert lines[0] == "### translation · pairs · encoder"
    head = [cell.strip() for cell in lines[2].split("|")[1:-1]]
    assert head == [
        "effect",
        "on BLEU",
        "95 % interval",
        "p (Holm)",
        "MACs (G)",
        "MACs (G) per point",
    ]
    row = next(line for line in lines if line.startswith("| E2 "))
    values = found[0].rows.set_index("name").loc["E2"]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == [
        "E2 query content, position",
        f"{values['effect']:+.2f}",
        f"{values['low']:+.2f} to {values['high']:+.2f}",
        "< 0.001",
        "+0.000400",
        f"{4e5 / values['effect'] / 1e9:.6f}",
    ]
    assert len({len(line) for line in lines if line.startswith("|")}) == 1  # aligned
    assert "- data: pairs: 100 sentences, 100% real" in lines


def test_csv_has_every_number_unrounded(found):
    frame = pd.read_csv(io.StringIO(csv(found)), comment="#")
    pd.testing.assert_frame_equal(frame[list(found[0].rows)], found[0].rows, check_dtype=False)
    assert set(frame["runs"]) == {32}
    assert csv(found).startswith("# translation · pairs · encoder: data: pairs: ")


def test_without_intervals_there_are_dashes_instead_of_nan():
    text = markdown(effects(groups(world(MEANS, seeds=1))))
    assert "nan" not in text.lower()


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(verb)

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--runs", "runs"])
        if isinstance(result.exception, StudyError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


def test_the_verb_fits_the_runs_and_names_what_it_leaves_out(call, make_run, tmp_path):
    for word in TERM_SETS:
        make_run(word, 0, 0.3 + 0.1 * (word[1] == "1"))
    make_run("0010", 0, 0.5, sites=("conv5",))
    result = call()
    assert "E2 query content, position" in result.stdout
    assert "left out: detection · trees · conv5: 1 of the 16 term sets" in result.stderr
    assert call("--format", "csv", "--out", "new/e.csv").stdout == "new/e.csv\n"
    frame = pd.read_csv(tmp_path / "new/e.csv", comment="#").set_index("name")
    assert frame.loc["E2", "effect"] == pytest.approx(0.1)


def test_without_any_factorial_the_verb_says_so(call, make_run):
    make_run("0010", 0, 0.5)
    with pytest.raises(StudyError, match="no factorial"):
        call()


def test_effects_across_seeds_that_no_sets_share_are_absent_and_said_so():
    halves = [
        world({w: m for w, m in MEANS.items() if w[0] == bit}, seeds=[int(bit)], sd=0.2)
        for bit in "01"
    ]
    text = markdown(effects(groups(pd.concat(halves, ignore_index=True))))
    assert "nan" not in text
    row = next(line for line in text.splitlines() if line.startswith("| E1 "))
    assert [cell.strip() for cell in row.split("|")[2:4]] == ["-", "-"]
    assert "no seed in common" in text
