"""``study items``: what it shows, and what it says of runs that kept no items."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
import typer
from counted import Mean
from typer.testing import CliRunner

from analysis.verbs import register
from study.errors import StudyError


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Return a function that runs the verb; detection measures a mean over items here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("analysis.runs.items.find_task", lambda name: Mean())
    app = typer.Typer()
    register(app)

    def run(*arguments):
        command = ["items", "--runs", "runs", *arguments]
        result = CliRunner().invoke(app, command, catch_exceptions=True)
        if isinstance(result.exception, StudyError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return result

    return run


@pytest.fixture
def made(make_run):
    """Make runs of three mechanisms with two seeds, which kept 40 items."""
    rng = np.random.default_rng(0)
    folders = {}
    easy = rng.normal(0.3, 0.1, 40)
    for word, gain in (("none", 0.0), ("0010", 0.05), ("1111", 0.0)):
        for seed in (0, 1):
            values = easy + gain + rng.normal(0, 0.02, 40)
            folder = make_run(word, seed, float(values.mean()))
            np.savez(folder / "items.npz", item=np.arange(40), value=values)
            folders[word, seed] = folder
    return folders


def test_it_shows_differences_with_three_intervals_and_the_split(call, made):
    text = call().stdout
    assert "### detection · trees · conv4.conv5" in text
    assert "| Δ none |" in text.replace("  ", "")
    rows = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in text.splitlines()[2:7]}
    assert rows["none"][2].strip() == "baseline"
    assert [cell.strip() for cell in rows["none"][3:]] == ["-"] * 4
    low, high = map(float, rows["0010"][3].split(" to "))
    assert 0 < low < 5 < high < 10  # points
    assert rows["0010"][6].strip() == "< 0.001"
    assert "a run's value" in text
    assert "a difference of two runs" in text
    assert "40 test items, 1000 samples" in text


def test_csv_and_json_have_the_same_numbers(call, made, tmp_path):
    frame = pd.read_csv(
        io.StringIO(call("--format", "csv").stdout), comment="#", dtype={"mechanism": str}
    )
    (group,) = json.loads(call("--format", "json").stdout)
    assert frame["mechanism"].tolist() == ["none", "0010", "1111"]
    assert (frame["items"] == 40).all()
    for name in ("difference", "items_low", "seeds_high", "both_low", "p"):
        theirs = [np.nan if row[name] is None else row[name] for row in group["rows"]]
        np.testing.assert_allclose(frame[name], theirs)
    value = next(row for row in group["split"] if row["of"] == "value")
    assert frame["value_sd_items"].iloc[0] == pytest.approx(value["items"])
    assert call("--format", "json", "--out", "new/i.json").stdout == "new/i.json\n"
    assert json.loads((tmp_path / "new/i.json").read_text()) == [group]


def test_another_baseline_may_be_named(call, made):
    text = call("--baseline", "1111").stdout
    assert "Δ 1111" in text
    assert "baseline" in next(line for line in text.splitlines() if line.startswith("| 1111"))


def test_a_baseline_without_runs_is_refused_with_the_nearest(call, made):
    with pytest.raises(StudyError, match=r"--baseline 111: it has no finished run.*1111"):
        call("--baseline", "111")


def test_without_items_the_runs_and_the_way_to_have_them_are_named(call, made):
    for folder in made.values():
        (folder / "items.npz").unlink()
    with pytest.raises(StudyError, match=r"detection · .*: all 6 runs: kept no items.npz") as told:
        call()
    assert "train it anew" in str(told.value)


def test_runs_without_items_are_named_beside_the_others(call, made):
    (made["0010", 1] / "items.npz").unlink()
    (made["1111", 0] / "items.npz").write_text("torn")
    text = call().stdout
    assert "- left out: 0010 seed 1: kept no items.npz" in text
    assert "- left out: 1111 seed 0: runs/" in text
    row = next(line for line in text.splitlines() if line.startswith("| 0010"))
    assert row.split("|")[7].strip() == "-"  # one seed in common: nothing over both
    assert row.split("|")[5].strip() != "-"


def test_a_group_whose_task_counts_no_items_does_not_hide_the_others(
    call, made, make_run, monkeypatch
):
    make_run("none", 0, 0.3, task="translation")
    tasks = {"detection": Mean(), "translation": object()}
    monkeypatch.setattr("analysis.runs.items.find_task", tasks.__getitem__)
    result = call()
    assert "detection" in result.stdout
    assert "left out: translation · trees" in result.stderr
    assert "keeps no statistics of test items" in result.stderr
