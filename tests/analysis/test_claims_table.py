"""``study claims``: what is written, in every form, and the user's own claims and margins."""

from __future__ import annotations

import io
import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner
from worlds import world

from analysis.commands.claims import claims as verb
from analysis.stats.claims import judge, load
from analysis.stats.group import groups
from analysis.tables.claims import csv, json_text, markdown
from study.errors import StudyError

NOTES = ["data: pairs: 100 sentences, 100% real"]


@pytest.fixture
def verdicts():
    frame = world(
        {"1111": 30, "0111": 22, "1000": 30.4, "0000": 9}, seeds=3, sd=0.3, sites="cross",
        rng=np.random.default_rng(2),
    )  # fmt: skip
    return judge(groups(frame), load())


def test_markdown_counts_and_shows_tested_claims_before_the_others(verdicts):
    text = markdown(verdicts, NOTES)
    found = {v.claim.id: v for v in verdicts}
    assert found["2a"].verdict == "supported"
    assert text.splitlines()[0] == f"1 supported, 1 inconclusive, {len(verdicts) - 2} not tested"
    row = next(line for line in text.splitlines() if line.startswith("| 2a "))
    assert [cell.strip() for cell in row.split("|")[1:-1]] == [
        *("2a", "translation · pairs · cross", "supported", f"{found['2a'].effect:+.2f} BLEU"),
        f"{found['2a'].low:+.2f} to {found['2a'].high:+.2f}",
        *("0.50", f"{found['2a'].detectable:.2f}", "3", f"{2 * found['2a'].p:.3f}"),
    ]
    assert "if all 2 on accuracy stood there, 0.1 would be wrong on average" in text
    assert "decide how many there will be before" in text
    before, after = text.split("**Not tested**")
    assert "**2b** Query-key content alone" in before
    assert f"**inconclusive**: {found['2b'].reason}" in before
    assert all(f"- **{id}** " in after for id in found if id not in ("2a", "2b"))
    assert text.endswith("- data: pairs: 100 sentences, 100% real\n")
    assert "nan" not in text.lower()


def test_csv_has_a_row_for_each_verdict(verdicts):
    frame = pd.read_csv(io.StringIO(csv(verdicts, NOTES)), comment="#")
    assert frame["claim"].tolist() == [v.claim.id for v in verdicts]
    row = frame.set_index("claim").loc["2a"]
    found = next(v for v in verdicts if v.claim.id == "2a")
    for name in ("effect", "low", "high", "margin", "detectable", "p"):
        assert row[name] == pytest.approx(getattr(found, name), rel=1e-12)
    assert row["reason"] == found.reason
    assert row["holm"] == pytest.approx(2 * found.p)  # the smaller of the task's two


def test_json_is_strict_and_has_the_tests_of_each_claim(verdicts):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    whole = json.loads(json_text(verdicts, NOTES), parse_constant=refuse)
    assert whole["notes"] == NOTES
    entry = next(e for e in whole["verdicts"] if e["claim"] == "2b")
    assert entry["tests"][0]["reason"] == entry["reason"]
    untested = next(e for e in whole["verdicts"] if e["verdict"] == "not tested")
    assert untested["effect"] is None


@pytest.fixture
def call(tmp_path, monkeypatch, make_run):
    monkeypatch.chdir(tmp_path)
    for seed in (0, 1, 2):
        make_run("0111", seed, 0.300 + seed / 1e4, metric="mAP")
        make_run("1111", seed, 0.304 + seed / 1e4, metric="mAP", macs=9_000_000)
        make_run("none", seed, 0.200 + seed / 1e4, metric="mAP", macs=0)
    app = typer.Typer()
    app.command()(verb)

    def run(*arguments):
        result = CliRunner().invoke(app, [*arguments, "--runs", "runs", "--format", "json"])
        if isinstance(result.exception, StudyError):
            raise result.exception
        assert result.exit_code == 0, result.output
        return {e["claim"]: e for e in json.loads(result.stdout)["verdicts"]}

    return run


def test_the_verb_judges_the_runs_by_the_margins_it_is_given(call):
    assert call()["1b"]["verdict"] == "supported"
    assert call("--margin", "mAP=0.003")["1b"]["verdict"] == "contradicted"
    assert call()["1c"]["verdict"] == "supported"


def test_the_verb_notes_runs_that_learned_nothing(tmp_path, monkeypatch, make_run):
    monkeypatch.chdir(tmp_path)
    for word, value in (("0111", 0.0), ("1111", 0.3)):
        make_run(word, 0, value, metric="mAP", untrained=0.01)
        make_run(word, 1, value + 0.001, metric="mAP", untrained=0.01)
    app = typer.Typer()
    app.command()(verb)
    output = CliRunner().invoke(app, ["--runs", "runs"]).stdout
    assert "not above the metric of the untrained network: 0111 seed 0 (0.00, untrained" in output


def test_a_margin_of_no_known_metric_is_refused(call):
    with pytest.raises(StudyError, match=r"--margin map: .*valid: BLEU, mAP, mIoU"):
        call("--margin", "map=0.1")


def test_the_verb_judges_the_user_s_own_claims(call, tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "margins: {mAP: 0.001}\nclaims:\n  mine:\n    statement: All four are better.\n"
        "    source: us\n    tasks: [detection]\n    attention: self\n"
        "    tests:\n      - greater: {1111: 1, 0111: -1}\n        margin: 3\n"
    )
    found = call("--claims", "mine.yaml")
    assert found["mine"]["verdict"] == "supported"
    assert found["mine"]["margin"] == pytest.approx(0.003)
    assert found["1b"]["verdict"] == "contradicted"


def test_another_margin_than_the_usual_one_is_shown_as_such():
    means = {"1111": 30, "0111": 22, "1000": 30.4, "0000": 9}
    frame = world(means, seeds=3, sd=0.3, sites="cross")
    text = markdown(judge(groups(frame), load(margins={"BLEU": 2})))
    assert "| 2.00 (usual: 0.50) |" in text


@pytest.mark.parametrize("text", ["BLEU", "BLEU=", "BLEU=x", "=1", "BLEU=0", "BLEU=nan", "BLEU=-1"])
def test_a_margin_that_is_none_is_refused(call, text):
    with pytest.raises(StudyError, match="write METRIC=VALUE"):
        call("--margin", text)
