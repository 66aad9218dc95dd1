"""`study probe`: each configuration once; what does not fit; what `plan`, `run`, `submit` say."""

import json
from pathlib import Path

import pytest

from study.errors import StudyError
from study.launch.fits import check_fit
from study.runs.probe import Probes

from .conftest import study
from .made import everything, finished, planned, toy_run

GRID = """
task: toy
recipe: {{epochs: 7200, seconds: 0.5, {more}}}
product: {{mechanism: [none, 1111, 0010]}}
seeds: [0, 1]
"""
UNFIT = GRID.format(more="unfit: '1111'")


def said(*arguments, code=0):
    done = study(*arguments)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code in (0, 1, 3) else done.stderr


def probes(tmp_path):
    return sorted((tmp_path / "runs" / ".probes").glob("*.json"))


def test_seeds_share_a_probe_which_is_kept_until_it_is_wanted_again(toy, tmp_path):
    grid = toy(GRID.format(more=""))
    found = json.loads(said("probe", grid, "--steps", "3", "--json"))
    assert [each["science"]["mechanism"] for each in found] == ["none", "1111", "0010"]
    assert {len(each["probed"]["milliseconds"]) for each in found} == {3}
    assert all("seed" not in each["science"] for each in found)
    assert all(each["device"]["name"] and each["torch"] for each in found)
    before = everything(tmp_path / "runs")
    assert len(probes(tmp_path)) == 3
    assert "500.0" in said("probe", grid)
    assert everything(tmp_path / "runs") == before
    said("probe", grid, "--again", "--mechanism", "0010")
    after = everything(tmp_path / "runs")
    changed = [path.name for path in after if path.suffix and before[path] != after[path]]
    assert [name.startswith("toy-toy-data-0010-a-") for name in changed] == [True]


def test_a_probe_is_no_run(toy, tmp_path):
    grid = toy(GRID.format(more=""))
    said("probe", grid)
    assert "no runs in" in said("status")
    assert "6 planned" in said("status", grid, code=3)


def test_what_does_not_fit_is_noted_and_the_others_are_probed(toy, tmp_path):
    grid = toy(UNFIT)
    shown = said("probe", grid)
    assert "toy-toy-data-1111-a: does not fit: CUDA out of memory. Tried to allocate" in shown
    outcomes = [json.loads(path.read_text())["outcome"] for path in probes(tmp_path)]
    assert sorted(outcomes) == ["does not fit", "measured", "measured"]
    told = said("plan", grid, "--no-cost")
    assert "does not fit into" in told
    assert "toy-toy-data-1111-a, 2 runs (grid)" in told


@pytest.mark.parametrize("verb", [["run"], ["submit", "--cluster", "local"]])
def test_what_does_not_fit_is_refused_before_anything_begins(toy, tmp_path, verb):
    grid = toy(UNFIT.replace("7200, seconds: 0.5", "2, seconds: 0.01"))
    said("probe", grid)
    before = everything(tmp_path / "runs")
    told = said(*verb, grid, code=2)
    assert "1 configuration does not fit into the memory of" in told
    assert "\n  toy-toy-data-1111-a\n" in told
    assert "add --unfit to try" in told
    assert everything(tmp_path / "runs") == before
    said("run", grid, "--mechanism", "none")
    assert "warning: 1 configuration does not fit" in said("run", grid, "--unfit")
    assert "nothing to do: 6 completed" in said("run", grid)  # what has a result does fit


def test_what_does_not_fit_on_another_device_is_a_warning(toy, tmp_path):
    grid = toy(UNFIT.replace("7200, seconds: 0.5", "2, seconds: 0.01"))
    said("probe", grid)
    for path in probes(tmp_path):
        record = json.loads(path.read_text())
        record["device"] |= {"name": "NVIDIA Elsewhere", "kind": "cuda", "memory_bytes": 8 << 30}
        path.write_text(json.dumps(record))
    told = said("run", grid)
    assert "does not fit into the memory of NVIDIA Elsewhere (8.00 GiB); here it may be" in told
    assert "6 completed" in told


def test_what_fits_among_fewer_processes_fits_among_more_and_the_other_way_round(toy, tmp_path):
    grid = toy(UNFIT)
    said("probe", grid, "--processes", "2")  # 1111 does not fit as a half
    recipe = {"epochs": 7200, "seconds": 0.5, "unfit": "1111"}
    runs, at = [toy_run(word, **recipe) for word in ("none", "1111")], tmp_path / "runs"
    for processes, told in ((1, 1), (2, 1), (3, 0)):
        assert len(check_fit(runs, Probes(at), processes, None, True)) == told
    with pytest.raises(StudyError, match="toy-toy-data-1111-a, the batch shared among 2"):
        check_fit(runs, Probes(at), 1, None, False)
    assert "may be larger" in check_fit(runs, Probes(at), 1, "a cluster", False)[0]


def test_a_smaller_share_of_the_batch_is_another_probe(toy, tmp_path):
    grid = toy(UNFIT)
    said("probe", grid)
    found = json.loads(said("probe", grid, "--processes", "4", "--mechanism", "none", "--json"))
    assert found[0]["probed"]["milliseconds"][0] == 125
    assert len(probes(tmp_path)) == 4
    # As each process is to make a quarter of the step, the same hours.
    hours = json.loads(said("plan", grid, "--no-cost", "--json"))["hours"]["probed"]
    assert [each["device_hours"] for each in hours if each["processes"] == 4] == [2]


def test_a_failure_is_told_and_tried_again(toy, tmp_path):
    grid = toy(GRID.format(more="failing: '0010'"))
    shown = said("probe", grid, code=1)
    assert "toy-toy-data-0010-a: failed: RuntimeError: as told" in shown
    assert "500.0" in shown
    toy_files = tmp_path / "site" / "toytask" / "train.py"
    toy_files.write_text(toy_files.read_text().replace("raise RuntimeError", "print"))
    before = everything(tmp_path / "runs")
    said("probe", grid)
    changed = [path for path, when in everything(tmp_path / "runs").items() if before[path] != when]
    assert [path.name for path in changed if path.suffix] == [
        path.name for path in probes(tmp_path) if "-0010-" in path.name
    ]


def test_plan_counts_hours_by_probes(toy):
    grid = toy(GRID.format(more=""))
    assert "none alike is finished or probed; study probe tells" in said("plan", grid, "--no-cost")
    said("probe", grid, "--steps", "3")
    told = said("plan", grid, "--no-cost")
    assert "6.00 hours of training: 6 runs of 7,200 steps, 1.00 a run, probed on" in told
    assert "3 steps each" in told
    assert "ms/step" in told
    whole = json.loads(said("plan", grid, "--no-cost", "--json"))
    assert whole["hours"]["probed"][0]["hours"] == 6
    assert whole["runs"][0]["probe"]["probed"]["milliseconds"] == [500] * 3


def test_only_finished_runs_of_the_same_recipe_tell_the_hours(toy, tmp_path):
    grid = toy(GRID.format(more=""))
    for seed in range(5):  # as of a small recipe beside a large one
        finished(planned(tmp_path / "runs", "none", seed))
    told = said("plan", grid, "--no-cost")
    assert "measured, median" not in told
    assert "6 runs of grid of unknown length: none alike is finished or probed; study probe" in told
    said("probe", grid)
    recipe = {"epochs": 7200, "seconds": 0.5}
    finished(planned(tmp_path / "runs", "none", **recipe))
    hours = json.loads(said("plan", grid, "--no-cost", "--json"))["hours"]
    # The other seed of `none` by its finished run, the others by their probes.
    assert [(each["missing"], each["hours"]) for each in hours["measured"]] == [(1, 0.5)]
    assert [(each["missing"], each["hours"]) for each in hours["probed"]] == [(4, 4)]
    assert hours["unknown"] == {}


def test_the_smoke_form_has_a_probe_of_its_own(toy, tmp_path):
    grid = toy(GRID.format(more=""))
    found = json.loads(said("probe", grid, "--smoke", "--json"))
    assert [each["science"]["recipe"]["epochs"] for each in found] == [2, 2, 2]
    assert "none alike is finished or probed; study probe tells" in said("plan", grid, "--no-cost")
    assert "probed on" in said("plan", grid, "--smoke", "--no-cost")


def test_processes_that_cannot_share_a_batch_and_absent_gpus_are_refused(toy, tmp_path):
    grid = tmp_path / "images.yaml"
    grid.write_text("task: segmentation\nproduct: {mechanism: [none]}\n")
    assert "8 is not divisible by 3 processes" in said("probe", grid, "--processes", "3", code=2)
    told = said("probe", toy(GRID.format(more="")), "--device", "cuda", code=2)
    assert "torch finds no GPU" in told


def test_a_task_that_cannot_be_probed_is_told(toy, tmp_path):
    module = Path(tmp_path / "site" / "toytask" / "task.py")
    module.write_text(
        module.read_text().replace("(Task, Smokes, Probes, CountsItems)", "(Task, Smokes)")
    )
    told = said("probe", toy(GRID.format(more="")), code=2)
    assert "the task 'toy' cannot be probed: it does not derive from Probes" in told
    told = said("plan", toy(GRID.format(more="")), "--no-cost")
    assert "none alike is finished or probed\n" in told
