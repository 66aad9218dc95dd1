"""`study plan`: hours, changed recipes, many runs; what `run` leaves; shell completion."""

import json
import os
import subprocess
import sys
from pathlib import Path

from .conftest import study
from .made import ended, everything, finished, planned, submitted

GRID = "task: toy\nproduct: {mechanism: [none, 1111, 0010]}\n"


def plan(grid, *options):
    done = study("plan", grid, "--no-cost", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_hours_are_the_clusters_limit_and_what_finished_runs_took(toy, tmp_path, monkeypatch):
    grid = toy(GRID)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "study").mkdir()
    (tmp_path / "study/clusters.yaml").write_text("big: {time: '3:00:00', gpus: 2}\n")
    assert "18.0 GPU-hours: 3 runs, one job each up to" in plan(grid, "--cluster", "big")
    assert "measured" not in plan(grid)
    finished(planned(tmp_path / "runs", "none", seed=9))  # of the same task, half an hour
    assert "1.5 hours of training: 3 x 30 min 00 s a run, measured, median of 1" in plan(grid)
    finished(planned(tmp_path / "runs", "none"))
    hours = json.loads(plan(grid, "--cluster", "big", "--json"))["hours"]
    assert hours["cluster"]["gpu_hours_a_job_each"] == 12
    assert hours["cluster"]["more_jobs_at_most"] == 20
    assert hours["measured"][0]["hours"] == 1
    assert "did you mean 'big'" in study("plan", grid, "--cluster", "bog").stderr


def test_a_profile_with_too_many_processes_for_the_batch_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study").mkdir()
    (tmp_path / "study/clusters.yaml").write_text("big: {nodes: 2, gpus: 4}\nsmall: {gpus: 4}\n")
    grid = tmp_path / "grid.yaml"
    grid.write_text("task: segmentation\nrecipe: {accumulate: 2}\nproduct: {mechanism: [1111]}\n")
    assert "GPU-hours" in plan(grid, "--cluster", "small")
    done = study("plan", grid, "--cluster", "big")
    assert done.returncode == 2
    assert "8 processes x 2 parts (accumulate): 1, 2, 4 processes would do; a run" in done.stderr


def test_a_changed_recipe_is_shown_once_and_old_runs_stay(toy, tmp_path):
    grid = toy(GRID)
    for word in ("none", "1111"):
        finished(planned(tmp_path / "runs", word))
    assert "recipe" not in plan(grid)
    before = everything(tmp_path / "runs")
    toy(GRID + "recipe: {epochs: 5}\n")
    shown = plan(grid)
    assert shown.count("grid: recipe.epochs: 3 -> 5") == 1
    assert "grid: 2 runs of the old recipe stay where they are" in shown
    assert everything(tmp_path / "runs") == before
    trained = study("run", grid).stdout
    assert "recipe.epochs: 3 -> 5" in trained
    assert "3 of 3 runs to train" in trained
    assert "recipe" not in plan(grid)  # the new runs are there: nothing is news any more


def test_two_grids_with_recipes_of_their_own_are_no_change(toy, tmp_path):
    planned(tmp_path / "runs", epochs=7)
    assert "recipe" not in plan(toy(GRID, "other.yaml"))


def test_many_runs_are_summed_and_listed_on_demand(toy, tmp_path):
    grid = toy(GRID + f"seeds: [{', '.join(map(str, range(40)))}]\n")
    ended(planned(tmp_path / "runs", "1111"), "failed")
    shown = plan(grid)
    assert len(shown.splitlines()) < 15
    assert "39 planned" in shown
    assert plan(grid, "--all").count(" planned") > 119
    whole = json.loads(plan(grid, "--json"))
    assert whole["states"] == {"planned": 119, "failed": 1}
    assert len(whole["runs"]) == 120


def test_run_leaves_alone_what_is_queued_on_a_cluster(toy, tmp_path):
    submitted(planned(tmp_path / "runs", "1111"))
    done = study("run", toy(GRID))
    assert "2 of 3 runs to train" in done.stdout
    assert "2 completed, 1 queued" in done.stdout
    assert done.returncode == 1


def test_the_shell_completes_runs_states_and_clusters(toy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "study").mkdir()
    (tmp_path / "study/clusters.yaml").write_text("big: {gpus: 2}\n")
    name = planned(tmp_path / "runs").path.name

    def offered(words):
        environment = {"_STUDY_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
        command = [Path(sys.executable).with_name("study")]
        done = subprocess.run(
            command, env=os.environ | environment, capture_output=True, text=True, check=False
        )
        return done.stdout

    assert name in offered("study inspect toy-")
    assert "failed" in offered("study status --state fa")
    assert "0110" in offered("study watch --mechanism 01")
    assert "big" in offered("study plan --cluster b")
