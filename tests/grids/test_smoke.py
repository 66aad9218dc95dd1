"""The smoke forms of all grids: small runs of the same recipes, one of each recipe trained."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy import study

from plugins.contracts.tasks import find_task
from study.grid.reading import find, load
from study.launch.local.slots import Slots
from study.runs.folder import iter_runs
from study.runs.run import open_folder

GRIDS = Path(__file__).parents[2] / "grids"
PATHS = find([GRIDS])
EMBEDDED = {
    "controls": "control-scenes",
    "question_answering": "digit-scenes",
    "classification": "cluttered-digits",
    "detection": "trees",
    "segmentation": "landcover",
    "translation": "software-en-de",
}
by_path = pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(GRIDS)))


@by_path
def test_a_smoke_form_has_the_configurations_and_the_kind_of_recipe(path):
    grid = load(path)
    smoke = grid.smoke()
    assert smoke.cells() == grid.cells()
    assert {run.seed for run in smoke.runs()} == {grid.seeds[0]}
    assert {run.data for run in smoke.runs()} == {EMBEDDED[grid.task]}
    assert {run.grid for run in smoke.runs()} == {f"smoke/{grid.name}"}
    module = find_task(grid.task)
    full, small = (module.Recipe.model_validate(each.recipe) for each in (grid, smoke))
    for field in ("depth", "optimizer", "kv_stride", "align_corners", "elsewhere", "beam"):
        assert getattr(small, field, None) == getattr(full, field, None)
    assert (getattr(small, "evaluation_stride", None) is None) == (
        getattr(full, "evaluation_stride", None) is None
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A configuration of each recipe, trained as ``study run --smoke`` does it.

    It is the last of the last file that has the recipe.
    """
    root = tmp_path_factory.mktemp("smoke")
    last = {path: load(path).smoke().runs()[-1] for path in PATHS}
    runs = {_recipe(run): run for run in last.values()}
    folders = {recipe: open_folder(run, root) for recipe, run in runs.items()}
    # Two at a time have a thread each, where one would have two that wait for other tests' cores.
    assert Slots(2).run(list(folders.values()), refresh=lambda: None)
    return {path: folders[_recipe(run)] for path, run in last.items()}


def _recipe(run):
    return json.dumps([run.science["task"], run.science["recipe"]], sort_keys=True)


@pytest.mark.data
@pytest.mark.train
@by_path
def test_a_recipe_trains_and_is_evaluated(path, trained):
    folder = trained[path]
    assert folder.result, (folder.newest.path / "stderr").read_text()[-3000:]
    assert [line["step"] for line in folder.metrics if line["split"] == "val"][-1] == 2
    assert folder.result["metric"] in folder.result["metrics"]
    assert 0 < folder.result["loss"]["first"] < 100
    assert folder.result["cost"]["model"]["macs"] > 0
    log = (folder.path / "train.log").read_text()
    assert find_task(load(path).task).Recipe(**folder.run["science"]["recipe"]).step in log


@pytest.mark.data
@pytest.mark.train
def test_smoke_runs_are_kept_apart_and_filters_choose_among_them(tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_RUNS", str(tmp_path / "runs"))
    grid = str(GRIDS / "demo/translation.yaml")
    done = study("run", grid, "--smoke", "--mechanism", "0111")
    assert done.returncode == 0, done.stdout + done.stderr
    (where,) = (tmp_path / "smoke").iterdir()
    assert f"in {where}" in done.stdout
    assert not (tmp_path / "runs").exists()
    (folder,) = iter_runs(where)
    assert folder.run["science"]["mechanism"] == "0111"
    assert folder.result["metrics"]["BLEU"] >= 0


def test_a_task_may_do_without(toy, tmp_path):
    task = tmp_path / "site" / "toytask" / "task.py"
    task.write_text(task.read_text().replace("(Task, Smokes, Probes, CountsItems)", "(Task)"))
    grid = toy("task: toy\nproduct: {mechanism: [none]}\n")
    done = study("plan", grid, "--smoke")
    assert (done.returncode, done.stderr) == (
        2, "error: grid: the task 'toy' has no smoke form\n"
    )  # fmt: skip


def test_a_seed_that_a_smoke_form_has_not_is_named(toy, tmp_path):
    grid = toy("task: toy\nproduct: {mechanism: [none]}\nseeds: [3, 4]\n")
    done = study("run", grid, "--smoke", "--seed", 3, "--seed", 4)
    assert (done.returncode, done.stderr) == (
        2, "error: --seed 4: none of the 1 runs has it; valid: 3; a smoke form has one seed only,"
        " the first of its grid\n"
    )  # fmt: skip
    assert not (tmp_path / "smoke").exists()
