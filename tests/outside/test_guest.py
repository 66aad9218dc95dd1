"""What a stranger's package adds is planned, trained, tabled, drawn, looked into and completed.

A gate for channels, a head of several branches, a mechanism of two inputs with a task of its own,
and a kind of figure: no file of the study knows them.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command import study

from .conftest import PACKAGE

pytestmark = [pytest.mark.data, pytest.mark.train]

GRIDS = {
    "boxes": "task: detection\nproduct: {mechanism: ['gate:sparsity=0.1']}\n",
    "masks": "task: segmentation\nproduct: {mechanism: [pyramid], sites: [[head]]}\n",
    "sentences": "task: translation\nproduct: {mechanism: [gate]}\n",
}
"""In frameworks, trained in their smoke form."""
OWN = {
    "halves": (
        "task: halves\nproduct: {mechanism: [none, 1000, 0010, low_rank, 'low_rank:rank=4']}\n"
        "baseline: none\n"
    ),
    **{
        f"rows{heads}": (
            f"task: halves\nrecipe: {{heads: {heads}}}\n"
            "product: {mechanism: [none, gate], sites: [[rows]]}\nbaseline: none\n"
        )
        for heads in (2, 4)
    },
}
"""In the package's own task."""
WORDS = ["none", "1000", "0010", "low_rank", "low_rank:rank=4"]


def said(*arguments):
    """What the command printed; it must succeed."""
    done = study(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def refused(*arguments):
    """What the command said; it must end as it does by a user's mistake."""
    done = study(*arguments)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def first_cells(table):
    """The mechanisms of a table."""
    cells = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    return [cell for cell in cells if cell != "mechanism" and cell.strip("-")]


def results(folder):
    """Results of completed runs, by the readable half of their id."""
    found = {}
    for path in folder.glob("*/result.json"):
        found[path.parent.name.rpartition("-")[0]] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def own(guest):
    """The runs of the package's own task, trained."""
    write(guest, OWN)
    said("data", "prepare", "halved-digits")
    said("run", *(f"{name}.yaml" for name in OWN))
    return guest / "runs"


@pytest.fixture(scope="module")
def small(guest):
    """The runs in the frameworks, two steps each."""
    write(guest, GRIDS)
    said("run", *(f"{name}.yaml" for name in GRIDS), "--smoke", "--runs", "small")
    return guest / "small"


def write(folder, grids):
    for name, text in grids.items():
        (folder / f"{name}.yaml").write_text(text)


def test_every_verb_knows_the_task_and_its_mechanisms(own):
    table = said("table", "halves.yaml")
    assert first_cells(table) == WORDS
    assert "lower is better" in table
    assert "real halves of handwritten digits (CC BY 4.0), 1347/450 images" in table
    found = results(own)
    errors = {
        word: found[f"halves-halved-digits-{word}-halves-s0"]["metrics"]["error"]
        for word in WORDS[1:]
    }
    # Half a digit tells less than a whole one.
    assert max(errors.values()) < found["halves-halved-digits-none-s0"]["metrics"]["error"]
    for word in ("low_rank-halves", "low_rank:rank=4-halves", "gate-rows"):
        cost = found[f"halves-halved-digits-{word}-s0"]["cost"]["mechanism"]
        assert cost["macs"] == cost["executed_macs"] > 0


def test_planned_cost_is_that_of_the_closed_form(own):
    runs = json.loads(said("plan", "halves.yaml", "--runs", "new", "--json"))["runs"]
    assert {run["state"] for run in runs} == {"planned"}
    macs = {run["mechanism"]: run["cost"]["mechanism"]["macs"] for run in runs}
    assert list(macs) == WORDS
    for rank in (4, 16):
        word = "low_rank" if rank == 16 else "low_rank:rank=4"
        assert macs[word] == rank * (8 * 16 + 4 * 12 + 2 * 8 * 4 + 8 * 16)
    smoke = json.loads(said("plan", "halves.yaml", "--no-cost", "--smoke", "--json"))["runs"]
    assert len(smoke) == len(WORDS)
    assert not {run["id"] for run in smoke} & {run["id"] for run in runs}


def test_less_is_better_in_the_figures_and_one_is_the_packages(own):
    drawn = {Path(line) for line in said("plot", "halves.yaml", "--out", "figures").splitlines()}
    ranking = Path("figures/halves/halves-halved-digits-ranking.svg")
    assert {ranking, ranking.with_suffix(".png"), ranking.with_suffix(".pdf")} <= drawn
    assert Path("figures/halves/halves-halved-digits.svg") in drawn
    text = ranking.read_text()
    assert "<!-- error points (lower is better) -->" in text
    first, last = (text.index(f"<!-- {word} -->") for word in ("none", "low_rank"))
    assert first < last  # bars are drawn from the bottom, where the worst is


def test_runs_are_looked_into_and_checkpoints_evaluated(own):
    label = "halves-halved-digits-low_rank-halves-s0-"
    paths = said("attend", label, "7").splitlines()
    assert [Path(path).suffix for path in paths] == [".png", ".svg"]
    with np.load(Path(paths[0]).with_suffix(".npz")) as arrays:
        assert arrays["halves/weights"].shape == (1, 8, 4)
        np.testing.assert_allclose(arrays["halves/weights"].sum(-1), 1, rtol=1e-5)
    picture = said("attend", "halves-halved-digits-gate-rows-s0-", "7").splitlines()[0]
    with np.load(Path(picture).with_suffix(".npz")) as arrays:
        assert arrays["rows/gate"].shape == (16,)
        assert (arrays["rows/gate"] > 0).all()
        assert (arrays["rows/gate"] < 1).all()
    assert "'x' is no number of a digit" in refused("attend", label, "x")
    (run,) = own.glob("halves-halved-digits-low_rank-halves-*")
    checkpoint = run / "checkpoints" / "last.pt"
    evaluated = said(
        *(
            "evaluate",
            "halves.yaml",
            "--mechanism",
            "low_rank",
            "--checkpoint",
            checkpoint,
            "--json",
        )
    )
    result = json.loads((run / "result.json").read_text())
    assert json.loads(evaluated)["metrics"] == result["metrics"]


def test_what_a_gate_ignores_neither_renames_nor_parts_its_runs(own):
    ids = {}
    for name in ("rows2", "rows4"):
        runs = json.loads(said("plan", f"{name}.yaml", "--no-cost", "--json"))["runs"]
        ids[name] = {run["mechanism"]: run["id"] for run in runs}
    same = {word for word in ids["rows2"] if ids["rows2"][word] == ids["rows4"][word]}
    assert same == {"gate"}
    # In both tables the gate stands beside the grid's `none`, and is compared with it.
    errors = {}
    for name in ids:
        text = said("table", f"{name}.yaml", "--format", "csv")
        rows = pd.read_csv(io.StringIO(text), comment="#").set_index("mechanism")
        assert list(rows.index) == ["none", "gate"]
        errors[name] = rows.loc["gate", "mean"]
        difference = errors[name] - rows.loc["none", "mean"]
        assert rows.loc["gate", "difference"] == pytest.approx(difference)
        assert rows.loc["gate", "pairs"] == 1
    assert errors["rows2"] == errors["rows4"]


def test_a_new_version_renames_the_runs_of_its_mechanism_alone(own, monkeypatch, tmp_path):
    def ids():
        runs = json.loads(
            said("plan", "rows2.yaml", "halves.yaml", "boxes.yaml", "--no-cost", "--json")
        )["runs"]
        return {run["id"] for run in runs}

    write(own.parent, GRIDS)
    before = ids()
    shutil.copytree(PACKAGE / "guest", tmp_path / "guest")
    file = tmp_path / "guest" / "mechanisms.py"
    file.write_text(file.read_text().replace("    version = 1\n", "    version = 2\n"))
    paths = os.environ["PYTHONPATH"].replace(str(PACKAGE), str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", paths)
    assert {"gate" in name for name in before - ids()} == {True}
    assert len(before - ids()) == len(ids() - before) == 2


def test_the_frameworks_train_count_and_show_them(small, guest):
    found = results(small)
    assert set(found) == {
        "detection-trees-gate:sparsity=0.1-conv4.conv5-s0",
        "segmentation-landcover-pyramid-head-s0",
        "translation-software-en-de-gate-self-s0",
    }
    for name, result in found.items():
        cost = result["cost"]["mechanism"]
        assert cost["macs"] == cost["executed_macs"] > 0, name
    (metrics,) = small.glob("detection-*/metrics.jsonl")
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    first = next(line for line in lines if line["split"] == "train")
    # Of two steps the first has half the weight; gates of untrained layers are near a half.
    each = 0.1 / 2 * 0.5
    assert first["loss_mechanism"] == pytest.approx(2 * each, rel=0.2)


def test_the_frameworks_runs_are_tabled_drawn_and_looked_into(small, guest):
    assert first_cells(said("table", "--runs", small)) == ["gate:sparsity=0.1", "pyramid", "gate"]
    drawn = said("plot", "--runs", small, "--out", "small-figures").splitlines()
    assert {Path(path).stem for path in drawn} >= {
        *("detection-trees", "segmentation-landcover", "translation-software-en-de")
    }
    image = next((guest / "data" / "landcover").rglob("*_leftImg8bit.png"))
    for start, *asked in (
        ("detection-", image, "--query", "20,30"),
        ("segmentation-", image, "--query", "20,30"),
        ("translation-", "Open the file."),
    ):
        paths = said("attend", start, *asked, "--runs", small, "--out", "seen").splitlines()
        assert [Path(path).suffix for path in paths] == [".png", ".svg"]
    (pyramid,) = Path("seen").glob("segmentation-*.npz")
    with np.load(pyramid) as arrays:
        (weights,) = (arrays[name] for name in arrays.files if name.endswith("/weights"))
        np.testing.assert_allclose(weights.sum((1, 2)), 1, rtol=1e-5)
        np.testing.assert_allclose(weights[0], 1 / weights[0].size)  # one bin: the mean of all


def test_mechanisms_are_listed_and_completed(guest):
    rows = {row["mechanism"]: row for row in json.loads(said("mechanisms", "--json"))}
    assert rows["gate"]["options"] == {"ratio": 4, "sparsity": 0.0}
    assert rows["gate"]["sequence"]["formula"] == "2 C²/r"
    assert rows["pyramid"]["map"]["macs"] == 50 * 256 * 64 + 50 * 84 * 2 * 256**2
    assert rows["pyramid"]["sequence"] is rows["low_rank"]["map"] is None
    for typed, offered in (
        *(("ga", "gate"), ("pyr", "pyramid"), ("low", "low_rank"), ("0010+ga", "0010+gate")),
    ):
        environment = {
            "_STUDY_COMPLETE": "complete_zsh",
            "_TYPER_COMPLETE_ARGS": f"study plan --mechanism {typed}",
        }
        command = [Path(sys.executable).with_name("study")]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        assert f'"{offered}"' in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("task", "axes", "sentence"),
    [
        ("detection", "[gate:ratoi=8]", "no option 'ratoi'; did you mean 'ratio'"),
        ("detection", "[gate:ratio=0]", "ratio=0: Input should be greater than or equal to 1"),
        ("detection", "[gate:ratio=4]", "is written 'gate'"),
        ("detection", "[none, low_rank]", "low_rank is for pairs, and 'conv4', 'conv5' are for"),
        ("detection", "[pyramid]", "pyramid stands after the backbone, and there is none of that"),
        (
            "segmentation",
            "[gate+pyramid], sites: [[head]]",
            "both gate and pyramid would stand after the backbone; only what takes different",
        ),
        ("halves", "[gate]", "gate is for maps and sequences, and 'halves' is for pairs"),
        ("halves", "['0100']", "E2 and E4 need positions, and two sets of things have none"),
        ("halves", "[gate+low_rank], sites: [[halves]]", "gate is for maps and sequences, and"),
    ],
)
def test_what_cannot_stand_is_refused_with_a_sentence_and_its_line(guest, task, axes, sentence):
    Path("wrong.yaml").write_text(f"task: {task}\nproduct:\n  {{mechanism: {axes}}}\n")
    message = refused("plan", "wrong.yaml", "--no-cost")
    assert "wrong.yaml:3: " in message
    assert sentence in message
    assert len(message.strip().splitlines()) == 1
