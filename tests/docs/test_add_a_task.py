"""docs/add-a-task.md, followed to the letter: a third party's task trains, resumes and reports."""

from __future__ import annotations

import importlib
import json
import re

import numpy as np
import pytest
import torch
from page import Page, shell

from plugins.attention.core.word import Word
from plugins.contracts.job import Job, Stopped
from study.runs.folder import iter_runs

PAGE = Page("add-a-task.md")


@pytest.mark.train
def test_the_task_of_the_page(reader):
    assert set(PAGE.write(reader)) == {
        *("pyproject.toml", "handwriting/task.py", "handwriting/train.py"),
        *("handwriting/data.py", "digits.yaml"),
    }
    (commands,) = PAGE.commands()
    shown = shell(commands).stdout
    runs = list((reader / "results" / "runs").glob("*/result.json"))
    assert len(runs) == 6
    least = int(re.search(r"more than (\d+) % of the validation images", PAGE.text)[1]) / 100
    for path in runs:
        result = json.loads(path.read_text())
        assert result["metrics"]["accuracy"] > least > 0.5 > result["untrained"]["accuracy"]
        assert result["loss"]["last"] < result["loss"]["first"]
    table = shown.partition("### handwriting")[2]
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")]
    assert rows[2:] == ["none", "0010", "1111"]
    assert "real handwritten digits of 8 x 8 pixels (CC BY 4.0), 1347/450 images" in table
    assert (reader / "results" / "report" / "index.html").exists()
    _plan_refuses(reader)
    _runs_keep_which_images_are_right(reader)
    _a_stopped_run_ends_like_an_undisturbed_one(reader)


def _runs_keep_which_images_are_right(folder):
    task = importlib.import_module("handwriting.task").Handwriting()
    for run in iter_runs(folder / "results" / "runs"):
        items = run.items
        whole, *halves = task.value_of_items(
            items, np.array([[1] * 450, [1, 0] * 225, [0, 1] * 225])
        )
        assert whole == pytest.approx(run.result["metrics"]["accuracy"], abs=1e-12)
        assert np.mean(halves) == pytest.approx(whole, abs=1e-12)


def _plan_refuses(folder):
    """What has no place at the sites is an error of the grid file, with its line."""
    grid = folder / "wrong.yaml"
    grid.write_text(PAGE.files()["digits.yaml"].replace("none, 0010", "none, 1111+deformable"))
    done = shell(f"study plan {grid.name} 2>&1 || echo code $?").stdout
    assert (
        "wrong.yaml:3: mechanism 1111+deformable: deformable stands instead of the 3x3 convolution,"
        " and there is none of that at 'conv2'\n"
    ) in done
    assert done.endswith("code 2\n")


def _a_stopped_run_ends_like_an_undisturbed_one(folder):
    train = importlib.import_module("handwriting.train")
    recipe = importlib.import_module("handwriting.task").HandwritingRecipe()
    asked = 0

    def after_two_epochs():
        nonlocal asked
        asked += 1
        return asked == 100  # an epoch has 43 steps

    def job(name, stopping=lambda: False):
        (folder / name).mkdir(exist_ok=True)
        return Job(
            mechanism=Word.parse("1111"),
            sites=("conv2",),
            seed=3,
            recipe=recipe,
            data=folder.parent / "data" / "optdigits",
            folder=folder / name,
            device="cpu",
            record=lambda split, **values: lines[name].append((split, values)),
            recorded=lambda split: [],
            stopping=stopping,
        )

    lines = {"undisturbed": [], "stopped": []}
    train.train(job("undisturbed"))
    with pytest.raises(Stopped):
        train.train(job("stopped", after_two_epochs))
    assert lines["stopped"][-1][1]["epoch"] == 2
    train.train(job("stopped"))
    assert lines["stopped"] == lines["undisturbed"]
    first, second = (
        torch.load(folder / name / "checkpoints" / "last.pt")["model"] for name in lines
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
