"""Rendered tables: the numbers survive, in units that the header names."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from scipy import stats

from analysis.runs.collect import collect
from analysis.stats.group import groups
from analysis.tables.table import RENDERERS, csv, markdown
from study.runs.folder import RunFolder


@pytest.fixture
def summaries(make_run):
    folders = [
        make_run("none", 0, 0.30, macs=0, seconds=40.0),
        make_run("none", 1, 0.32, macs=0, seconds=42.0),
        make_run("0010", 0, 0.3456789, macs=250_000, seconds=50.0),
        make_run("1111", 0, 0.005, macs=22_540_000, seconds=99.0),
        make_run("0010", 0, 0.5, sites=("conv5",)),
    ]
    frame = collect(RunFolder(folder) for folder in folders)
    expected = [("detection", ("conv4", "conv5"), "dynamic", 0)]
    return groups(frame, "none", expected)


def cells(text):
    """The pipe tables in a Markdown text, as dicts by header."""
    lines = [line.strip("|\n").split("|") for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line] for line in lines]
    head, rule, *rows = table
    assert all(re.fullmatch(r"-{3,}|-{2,}:", cell) for cell in rule)
    assert all(len(row) == len(head) for row in rows)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def test_markdown_shows_rounded_numbers_in_units_that_the_header_names(summaries):
    rows = cells(markdown(summaries[:1]))
    assert rows["none"] == {
        "mechanism": "none",
        "n": "2",
        "mAP points": "31.00",
        "mAP points ±": "12.71",  # 12.706 x 0.01
        "Δ none": "baseline",
        "Δ none ±": "-",
        "Δ none n": "-",
        "MACs mech. (G)": "0",
        "MACs model (G)": "1.25",
        "parameters mech. (M)": "0",
        "parameters model (M)": "3.40",
        "time": "41 s",
        "memory (GiB)": "0.745",
    }
    assert rows["0010"]["Δ none"] == "+4.57"
    assert rows["0010"]["Δ none n"] == "1"
    assert rows["0010"]["mAP points ±"] == "-"
    assert rows["0010"]["MACs mech. (G)"] == "0.000250"
    assert rows["1111"]["MACs mech. (G)"] == "0.0225"


def test_markdown_shows_missing_runs_and_nothing_in_place_of_their_numbers(summaries):
    row = cells(markdown(summaries[:1]))["dynamic"]
    assert row.pop("mechanism") == "dynamic"
    assert row.pop("n") == "0/1"
    assert set(row.values()) == {"-"}


def test_seeds_that_are_missing_show_beside_those_that_are_there(make_run):
    frame = collect(RunFolder(make_run("0010", seed, 0.3)) for seed in (0, 1))
    asked = [("detection", ("conv4", "conv5"), "0010", seed) for seed in range(5)]
    assert cells(markdown(groups(frame, "0010", asked)))["0010"]["n"] == "2/5"
    assert cells(markdown(groups(frame, "0010")))["0010"]["n"] == "2"


def test_paired_differences_show_their_interval_and_their_number(make_run):
    values = {"none": (0.30, 0.34, 0.29), "0010": (0.32, 0.35, 0.33)}
    folders = [make_run(m, seed, v) for m in values for seed, v in enumerate(values[m])]
    (summary,) = groups(collect(RunFolder(folder) for folder in folders), "none")
    row = cells(markdown([summary]))["0010"]
    low, high = stats.ttest_rel(values["0010"], values["none"]).confidence_interval(0.95)
    assert row["Δ none"] == f"{100 * (low + high) / 2:+.2f}"
    assert row["Δ none ±"] == f"{100 * (high - low) / 2:.2f}"
    assert row["Δ none n"] == "3"
    assert any(note.startswith("±: half the 95 %") and "Δ none" in note for note in summary.notes)


def test_a_baseline_that_nobody_ran_or_asked_for_gets_no_column(make_run):
    frame = collect([RunFolder(make_run("0010", 0, 0.3))])
    assert "Δ" not in markdown(groups(frame, "none"))


def test_markdown_repeats_the_notes_under_each_table(summaries):
    text = markdown(summaries)
    assert text.count("### detection · trees · ") == 2
    assert text.count("- data: trees: 60 aerial images") == 2
    assert "- not above the metric of the untrained network: 1111 seed 0 (0.50, " in text
    assert text.count("one seed: ") == 1  # the table of conv5 alone


def test_scores_above_one_have_two_decimals(make_run):
    folder = make_run("1000", 0, 21.456, task="translation", metric="BLEU")
    text = markdown(groups(collect([RunFolder(folder)])))
    assert cells(text)["1000"]["BLEU"] == "21.46"
    assert not any(name.startswith("Δ") for name in cells(text)["1000"])


def test_csv_has_every_row_unrounded_below_comments_that_pandas_skips(summaries):
    text = csv(summaries)
    comments = [line for line in text.splitlines() if line.startswith("#")]
    assert text.startswith("\n".join(comments))
    assert len(comments) == sum(len(summary.notes) for summary in summaries)
    frame = pd.read_csv(io.StringIO(text), comment="#", dtype={"mechanism": str})
    assert frame["sites"].tolist() == ["conv4.conv5"] * 4 + ["conv5"]
    whole = frame[frame["sites"] == "conv4.conv5"].set_index("mechanism")
    assert whole.loc["0010", "mean"] == 0.3456789
    assert whole.loc["0010", "difference"] == pytest.approx(0.0456789)
    assert whole.loc["none", "half_width"] == pytest.approx(0.127062047, rel=1e-7)
    assert whole.loc["1111", "model_macs"] == 1_272_540_000
    assert "1272540000," in text
    assert whole.loc["dynamic", "n"] == 0
    assert whole.loc["dynamic"].drop(["n", "asked", "pairs", *frame.columns[:6]]).isna().all()
    assert whole.loc["none", "untrained"] == 0.01
    assert whole.loc["none", "loss_last"] == 0.97


@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_a_table_without_any_finished_run_can_be_rendered(make_run, name):
    summaries = groups(collect([RunFolder(make_run("0010", 0, None))]), "none")
    assert "0010" in RENDERERS[name](summaries)
