"""Rendered tables: the numbers survive, units are right, and LaTeX is LaTeX."""

from __future__ import annotations

import io
import re
import shutil
import subprocess

import pandas as pd
import pytest

from analysis.collect import collect
from analysis.summary import summarise
from analysis.table import RENDERERS, csv, latex, markdown
from study.folder import RunFolder


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
    return summarise(frame, "none", expected)


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
        "bbox_mAP": "0.310",
        "± 95 %": "0.127",  # 12.706 x 0.01
        "Δ none": "baseline",
        "untrained": "0.010",
        "loss": "2.410 → 0.970",
        "MACs (G)": "1.25",
        "mechanism MACs (M)": "0.00",
        "parameters (M)": "3.40",
        "mechanism parameters (k)": "0.00",
        "peak memory (GB)": "0.80",
        "seconds": "41.0",
    }
    assert rows["0010"]["Δ none"] == "+0.046"
    assert rows["0010"]["± 95 %"] == "-"
    assert rows["0010"]["mechanism MACs (M)"] == "0.25"
    assert rows["1111"]["mechanism MACs (M)"] == "22.54"


def test_markdown_shows_missing_runs_and_nothing_in_place_of_their_numbers(summaries):
    row = cells(markdown(summaries[:1]))["dynamic"]
    assert row.pop("mechanism") == "dynamic"
    assert row.pop("n") == "0"
    assert set(row.values()) == {"-"}


def test_markdown_repeats_the_notes_under_each_table(summaries):
    text = markdown(summaries)
    assert text.count("### detection · trees · ") == 2
    assert text.count("- data: trees: 60 aerial images") == 2
    assert "- 1111, seed 0: the trained bbox_mAP (0.005) is not above the untrained" in text
    assert text.count("one seed: ") == 1  # the table of conv5 alone


def test_scores_above_one_have_two_decimals(make_run):
    folder = make_run("1000", 0, 21.456, task="translation", metric="BLEU")
    text = markdown(summarise(collect([RunFolder(folder)])))
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
    assert whole.loc["dynamic"].drop(["n", *frame.columns[:6]]).isna().all()


def flaws(text):
    """What would stop pdflatex or garble its output, as far as structure shows."""
    found = []
    environments = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            environments.append(name)
        elif not environments or environments.pop() != name:
            found.append(f"unexpected end of {name}")
    found += [f"{name} is not closed" for name in environments]
    body = re.sub(r"(?m)^%.*$|(?<!\\)%$", "", text)  # comments, and line ends that mean no space
    body = re.sub(r"\\[\\&%$#_{}]", lambda sign: "\n" if sign[0] == r"\\" else "", body)
    if body.count("{") != body.count("}"):
        found.append("braces")
    found += [f"bare {sign}" for sign in "%#_" if sign in body]
    if body.count("$") % 2:
        found.append("dollars")
    found += [f"sign {sign}" for sign in sorted(set(re.sub(r"[\x00-\xff]", "", body)))]
    tabular = r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}"
    if "&" in re.sub(tabular, "", body, flags=re.S):
        found.append("& outside of a table")
    for spec, content in re.findall(tabular, body, re.S):
        rows = [line for line in content.splitlines() if "&" in line]
        found += [f"row {row}" for row in rows if row.count("&") != len(spec) - 1]
        if not rows:
            found.append("no rows")
    return found


def test_latex_is_balanced_and_escaped(summaries):
    text = latex(summaries)
    assert flaws(text) == []
    assert text.count(r"\begin{tabular}") == 2
    assert r"20 held out; 100\% public\_domain" in text
    assert r"training \& 20" in text
    assert r"bbox\_mAP" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(rf"\{rule}") == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"\_", "_"),
        (r"\%", "%"),
        (r"\&", "&"),
        (r"\end{tabular}", ""),
        (r"\end{table}", r"\end{tabular}"),
        ("}", ""),
        ("$", ""),
        (" & ", " "),
        (r"$\to$", "→"),
    ],
)
def test_the_structural_check_fails_when_it_should(summaries, old, new):
    text = latex(summaries)
    assert old in text
    before, _, after = text.rpartition(old)
    assert flaws(before + new + after)


def test_latex_sets_every_special_sign(make_run):
    import dataclasses

    (summary,) = summarise(collect([RunFolder(make_run())]))
    text = latex([dataclasses.replace(summary, notes=[r"50 % of a_b & c #1 {x} ~ ^ \ $ < > × →"])])
    assert flaws(text) == []
    assert (
        r"50 \% of a\_b \& c \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ "
        r"\textless{} \textgreater{} $\times$ $\to$"
    ) in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(summaries, tmp_path):
    document = (
        "\\documentclass{article}\\usepackage{booktabs}\\usepackage{graphicx}\n"
        f"\\begin{{document}}\n{latex(summaries)}\\end{{document}}\n"
    )
    (tmp_path / "t.tex").write_text(document, encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("name", sorted(RENDERERS))
def test_a_table_without_any_finished_run_can_be_rendered(make_run, name):
    summaries = summarise(collect([RunFolder(make_run("0010", 0, None))]), "none")
    assert "0010" in RENDERERS[name](summaries)
