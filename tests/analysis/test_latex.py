"""The LaTeX tables: pdflatex sets them, nothing sticks out, nothing is lost."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from worlds import world

from analysis.runs.collect import collect
from analysis.stats.effects import effects
from analysis.stats.group import groups
from analysis.tables.columns import columns
from analysis.tables.effects import latex as effects_latex
from analysis.tables.published import beside, load
from analysis.tables.table import latex
from plugins.attention.core.word import TERM_SETS
from study.runs.folder import RunFolder

EVERYTHING = (
    r"50 % of a_b & c #1 {x} ~ ^ \ $ < > × → ± Δ · ≤ ≥ – — … é ß µ ° « » ð 中 α --out | `x` 'y'"
)


@pytest.fixture
def compiled(tmp_path):
    """A function that sets a text and returns pdflatex's log; ``STUDY_REQUIRE_LATEX=1`` forbids
    to skip."""
    if not (shutil.which("pdflatex") and shutil.which("kpsewhich")):
        if os.environ.get("STUDY_REQUIRE_LATEX") == "1":
            pytest.fail("pdflatex is not installed")
        pytest.skip("pdflatex is not installed (make latex)")

    def run(text):
        document = (
            "\\documentclass{article}\\usepackage{booktabs}\\usepackage{graphicx}\n"
            f"\\begin{{document}}\n{text}\\end{{document}}\n"
        )
        (tmp_path / "t.tex").write_text(document, encoding="utf-8")
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        log = done.stdout.decode(errors="replace")
        assert done.returncode == 0, log[-2000:]
        return log

    return run


def complaints(log):
    """What pdflatex says of text that sticks out of the page or is not set."""
    return re.findall(r"Overfull.*|.*Float too large.*|.*Missing character.*|LaTeX Warning.*", log)


def summary_of(*folders, baseline="none", expected=()):
    (summary,) = groups(collect(RunFolder(folder) for folder in folders), baseline, expected)
    return summary


def test_tables_of_three_tasks_are_set(compiled, make_run):
    tasks = {
        "detection": (("conv4", "conv5"), "mAP", 0.3),
        "segmentation": (("conv4", "conv5", "head"), "mIoU", 0.6),
        "translation": (("self",), "BLEU", 21.5),
    }
    folders = [
        make_run(m, seed, value, task=task, sites=sites, metric=metric)
        for task, (sites, metric, value) in tasks.items()
        for m in ("none", "0010+deformable", "1111")
        for seed in (0, 1)
    ]
    summaries = groups(collect(RunFolder(folder) for folder in folders), "none")
    shown = [beside(summary, load(), everything=True) for summary in summaries]
    assert len(shown) == 3
    assert complaints(compiled(latex(shown))) == []


def test_a_crowded_table_with_long_notes_fits_its_page(compiled, make_run):
    words = ["none", *TERM_SETS, "dynamic", "none+deformable", "0010+deformable", "dynamic@15"]
    folders = [make_run(m, s, 0.0001 * (s + i)) for i, m in enumerate(words) for s in (0, 1)]
    asked = [("detection", ("conv4", "conv5"), m, s) for m in words for s in range(10)]
    summary = summary_of(*folders, expected=asked)
    assert len(summary.rows) == 21
    long = (
        "a path: /a/very/long/path/" + "without_any_space/" * 12 + "result.json",
        "a list:" + ",".join(TERM_SETS),
        "words " * 60,
    )
    summary = dataclasses.replace(summary, remarks=long)
    shown = beside(summary, load().assign(metric="mAP"), everything=True)
    shown = dataclasses.replace(shown, variant="evaluation_sentences=200, schedule=50%_of&all")
    assert complaints(compiled(latex([shown]))) == []


def test_effects_are_set_with_every_number_of_theirs(compiled):
    rng = np.random.default_rng(0)
    means = {word: 20 - 3 * (word[0] == "1") + word.count("1") for word in TERM_SETS}
    frame = world(means | {"none": 18}, seeds=3, sd=0.3, rng=rng)
    found = effects(groups(frame))
    text = effects_latex(found)
    assert complaints(compiled(text)) == []
    (e1,) = (line for line in text.splitlines() if line.startswith("E1 "))
    row = found[0].rows.set_index("name").loc["E1"]
    assert row["high"] < 0
    shown = [f"$-${-row[name]:.2f}" for name in ("effect", "low", "high")]
    assert e1.split(" & ")[1:3] == [shown[0], f"{shown[1]} to {shown[2]}"]


def test_every_sign_is_set_wherever_it_stands(compiled, make_run):
    word = f"[x] {EVERYTHING}"
    runs = summary_of(make_run()).runs.assign(mechanism=word, metric=EVERYTHING)
    (shown,) = groups(runs)
    shown = dataclasses.replace(shown, variant=EVERYTHING, remarks=(EVERYTHING,))
    assert complaints(compiled(latex([shown]))) == []


def test_special_signs_are_escaped_and_unknown_ones_told_by_their_number(make_run):
    text = latex([dataclasses.replace(summary_of(make_run()), remarks=(EVERYTHING,))])
    assert (
        r"50 \% of a\_b \& c \#1 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ "
        r"\textless{} \textgreater{} $\times$ $\to$ $\pm$ $\Delta$ $\cdot$ $\leq$ $\geq$ "
        r"\textendash{} \textemdash{} \ldots{} é ß µ ° (U+00AB) (U+00BB) (U+00F0) "
        r"(U+4E2D) (U+03B1) -{}-out \textbar{} `x` 'y'."
    ) in text


@pytest.mark.parametrize(
    ("old", "new"),
    [(r"\_", "_"), (r"\&", "&"), (r"\end{tabular}", ""), (r"$\pm$", "中"), ("}{!}", "}{!")],
)
def test_pdflatex_refuses_what_is_not_escaped(compiled, make_run, old, new):
    text = latex([summary_of(*(make_run("0010", seed, 0.3) for seed in (0, 1)))])
    assert old in text
    before, _, after = text.rpartition(old)
    with pytest.raises(AssertionError):
        compiled(before + new + after)


def test_a_table_too_wide_is_noticed(compiled, make_run):
    text = latex([summary_of(make_run("0010", 0, 0.3), make_run("none", 0, 0.2))])
    log = compiled(re.sub(r"\\resizebox\{.*?\}\{!\}", r"\\mbox", text))
    assert complaints(log)


def test_every_cell_of_the_table_stands_in_the_tabular(make_run):
    folders = [make_run(m, s, v) for s in (0, 1) for m, v in (("none", 0.4), ("1111", 0.3 + s / 9))]
    summary = summary_of(*folders)
    shown = columns(summary)
    tabular = latex([summary]).partition(r"\midrule")[2].partition(r"\bottomrule")[0]
    lines = [line.removesuffix(r" \\").split(" & ") for line in tabular.strip().splitlines()]
    plain = [[cell.replace("$-$", "-") for cell in line] for line in lines]
    assert plain == shown.to_numpy().tolist()
    assert any(cell.startswith("$-$") for cell in lines[1])  # a minus, not a hyphen


def test_shared_headings_and_their_rules_span_the_columns(make_run):
    shown = beside(summary_of(make_run()), load().assign(metric="mAP"), everything=True)
    above, rules, below = latex([shown]).partition("\\toprule\n")[2].splitlines()[:3]
    spans = [int(n) for n in re.findall(r"\\multicolumn\{(\d+)\}", above)]
    ranges = re.findall(r"\\cmidrule\(lr\)\{(\d+)-(\d+)\}", rules)
    assert above.count("&") + sum(n - 1 for n in spans) == below.count("&")
    assert [int(last) - int(first) + 1 for first, last in ranges] == spans
    assert r"\multicolumn{2}{c}{published}" in above
    assert r"\shortstack[r]{COCO, \\ MMDetection v1}" in below
