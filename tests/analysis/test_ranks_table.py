"""``study ranks``: what is written, in every form, and what is asked for."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner
from worlds import world

from analysis.commands.question import Question
from analysis.commands.ranks import ranks as verb
from analysis.stats.aggregates.ranking import ranking
from analysis.stats.group import groups
from analysis.tables.ranks import csv, json_text, markdown
from study.errors import StudyError

MEANS = {"none": 15.0, "0010": 15.2, "1111": 18.0}


@pytest.fixture
def found():
    rng = np.random.default_rng(3)
    frames = [
        world(MEANS, seeds=3, sd=0.2, rng=rng, sites=sites) for sites in ("encoder", "decoder")
    ]
    return ranking(groups(pd.concat(frames, ignore_index=True)), {"BLEU": 0.5})


def cells(line):
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_markdown_has_one_line_a_mechanism_and_the_notes(found):
    lines = markdown([found]).splitlines()
    assert lines[0] == "### 2 groups"
    assert cells(lines[2]) == [
        *("mechanism", "groups", "gain over none, margins", "95 % interval", "least to most"),
        *("rank", "95 % interval", "P(better than none)", "95 % interval"),
    ]
    row = found.rows.set_index("mechanism").loc["1111"]
    assert cells(lines[4]) == [
        "1111",
        "2",
        f"{row['gain']:+.1f}",
        f"{row['low']:+.1f} to {row['high']:+.1f}",
        f"{row['least']:+.1f} to {row['most']:+.1f}",
        "1",
        "1 to 1",
        f"{row['improvement']:.2f}",
        f"{row['improvement_low']:.2f} to {row['improvement_high']:.2f}",
    ]
    assert cells(lines[6])[:4] == ["none", "2", "baseline", "-"]
    assert [line.removeprefix("- ") for line in lines[8:]] == found.notes
    assert len({len(line) for line in lines if line.startswith("|")}) == 1  # aligned


def test_each_group_follows_by_itself_without_the_mean_s_columns(found):
    text = markdown([found, *found.each])
    assert text.count("### ") == 3
    own = text.split("### translation · pairs · encoder\n")[1].splitlines()
    assert "least to most" not in own[1]
    (group,) = [group for group in found.groups if group.sites == "encoder"]
    low, high = (bound / 0.5 for bound in group.difference("1111", "none").interval(0.95))
    assert f"{low:+.1f} to {high:+.1f}" in own[3]


def test_csv_has_every_number_unrounded_and_says_of_what(found):
    text = csv([found, *found.each])
    assert text.startswith(f"# {found.notes[0]}\n")
    frame = pd.read_csv(io.StringIO(text), comment="#", dtype={"mechanism": str})
    first = frame[frame["over"] == "2 groups"].drop(columns="over")
    pd.testing.assert_frame_equal(first, found.rows, check_dtype=False)
    assert frame["over"].nunique() == 3


def test_json_is_valid_and_has_null_for_what_there_is_not(found):
    whole = json.loads(json_text([found]))
    assert whole["notes"] == found.notes
    assert whole["baseline"] == "none"
    rows = {row["mechanism"]: row for row in whole["rows"]}
    assert rows["1111"]["gain"] == pytest.approx(found.rows["gain"][0])
    assert rows["none"]["improvement"] is None


@pytest.fixture
def call(tmp_path, monkeypatch, make_run):
    monkeypatch.chdir(tmp_path)
    app = typer.Typer()
    app.command()(verb)
    rng = np.random.default_rng(1)
    for sites in (("conv4",), ("conv5",)):
        for word, level in {"0010": 0.4, "1111": 0.5}.items():
            for seed in (0, 1):
                make_run(word, seed, level + 0.001 * rng.normal(), sites=sites)
    for seed in (0, 1):
        make_run("none", seed, 0.3 + 0.001 * rng.normal(), sites=())

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--runs", "runs"])
        if isinstance(result.exception, StudyError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


def test_the_verb_ranks_all_runs_over_none_in_margins_of_the_claims(call, tmp_path):
    text = call()
    assert "### 2 groups" in text
    assert "gain over none, margins" in text
    row = next(line for line in text.splitlines() if line.startswith("| 1111 "))
    assert float(cells(row)[2]) == pytest.approx(0.2 / 0.005, abs=0.5)
    assert "trainings in common" in text  # none stands nowhere
    assert "### detection · trees · conv5" in call("--each")
    assert call("--format", "csv", "--out", "new/ranks.csv") == "new/ranks.csv\n"
    frame = pd.read_csv(tmp_path / "new/ranks.csv", comment="#", dtype={"mechanism": str})
    assert frame["mechanism"].tolist() == ["1111", "0010", "none"]


def test_baseline_and_margin_are_the_user_s(call):
    text = call("--baseline", "0010", "--margin", "mAP=0.05")
    row = next(line for line in text.splitlines() if line.startswith("| 1111 "))
    assert float(cells(row)[2]) == pytest.approx(0.1 / 0.05, abs=0.1)
    assert "P(better than 0010)" in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--baseline", "nonne"), "did you mean 'none'"),
        (("--margin", "mAp=1"), "--margin mAp: no run and no claim has that metric"),
        (("--margin", "mAP"), "write METRIC=VALUE"),
        (("--out", "x.csv"), "add --format csv"),
    ],
)
def test_mistakes_are_named(call, arguments, said):
    with pytest.raises(StudyError, match=said):
        call(*arguments)


def test_runs_of_a_grid_that_have_not_finished_are_counted(call, monkeypatch, tmp_path):
    (tmp_path / "mine.yaml").write_text("task: detection\nproduct:\n  mechanism: [none]\n")
    ids = [path.name for path in (tmp_path / "runs").iterdir()]
    asked = Question("mine", "none", "study run mine.yaml", [*ids, "not-yet-there"])
    monkeypatch.setattr("analysis.commands.question.questions", lambda grids: [asked])
    assert "- left out: 1 of 11 runs of mine: not finished\n" in call("mine.yaml")
