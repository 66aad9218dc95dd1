"""Trainings of a few steps: what they record, and that they end alike however they came there."""

from __future__ import annotations

import dataclasses
import shutil

import coloured_squares as squares
import numpy as np
import pytest
import torch

from plugins.contracts.job import CheckpointError, Stopped
from plugins.openmmlab import records
from plugins.question_answering.task import QuestionAnswering

pytestmark = pytest.mark.train
TASK = QuestionAnswering()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares.make(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    job = squares.job(data, tmp_path_factory.mktemp("soft"), "soft")
    TASK.train(job)
    return job


def test_a_run_records_what_it_should(trained):
    untrained, *_ = trained.recorded("untrained")
    assert untrained["step"] == 0
    steps = [line["step"] for line in trained.recorded("val")]
    assert steps == [6, 12, 18]  # 48 questions
    last = trained.recorded("val")[-1]
    assert {"accuracy", "accuracy_exist", "accuracy_count", "majority", "question_only",
            "upper_bound", "pointing", "pointing_chance", "entropy_1"} <= last.keys()  # fmt: skip
    assert all(np.isfinite(line["loss"]) for line in trained.recorded("train"))
    items = trained.kept[-1]
    whole = TASK.value_of_items(items, np.ones((1, len(items["item"])), int))
    assert whole[0] == pytest.approx(last["accuracy"], abs=1e-6)


def test_weights_from_a_file_are_evaluated_as_the_training_did(trained, tmp_path):
    checkpoint = trained.folder / "checkpoints" / "epoch_3.pth"
    again = dataclasses.replace(trained, folder=tmp_path)
    last = trained.recorded("val")[-1]
    found = TASK.evaluate(again, checkpoint)
    assert found == {name: last[name] for name in found}
    with pytest.raises(CheckpointError):
        TASK.evaluate(squares.job(trained.data, tmp_path, "hard"), checkpoint)


def test_the_split_is_evaluated_that_the_recipe_names(trained, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(trained.data, data)
    lines = (data / "questions/val.jsonl").read_text().splitlines()
    (data / "questions/test.jsonl").write_text("\n".join(lines[:3]) + "\n")
    checkpoint = trained.folder / "checkpoints" / "epoch_3.pth"
    job = squares.job(data, tmp_path / "run", "soft", evaluation_split="test")
    first = trained.kept[-1]["tenths"][:3] / 10
    assert TASK.evaluate(job, checkpoint)["accuracy"] == pytest.approx(first.mean())


def test_evaluations_are_as_far_apart_as_the_recipe_says_and_one_is_last(trained, tmp_path):
    job = squares.job(trained.data, tmp_path, "none", epochs=3, evaluation_interval=2)
    TASK.train(job)
    assert [line["epoch"] for line in job.recorded("val")] == [2, 3]


def test_it_shows_where_it_looks(trained):
    image = str(trained.data / "images/val/0.png")
    arrays = TASK.look(trained, image, "is there a red square?")
    assert arrays["image"].shape == (squares.SIDE, squares.SIDE, 3)
    assert arrays["image"].max(axis=(0, 1)).max() == 255
    assert str(arrays["question"]).startswith("is there a red square? ")
    assert arrays["pool/weights"].shape == (1, 4, 4)
    assert arrays["pool/weights"].sum() == pytest.approx(1)
    with pytest.raises(ValueError, match=r"card\.json cannot be read as an image"):
        TASK.look(trained, str(trained.data / "card.json"), "is there a red square?")
    with pytest.raises(ValueError, match="nowhere"):
        TASK.look(trained, str(trained.data / "nowhere.png"), "is there a red square?")


def test_the_visual_network_learns_in_its_epochs_alone(trained):
    before, after = (
        torch.load(trained.folder / "checkpoints" / f"epoch_{n}.pth", weights_only=False)
        for n in (2, 3)
    )
    for name, tensor in before["state_dict"].items():
        visual = name.startswith(("backbone.", "names.", "data_preprocessor."))
        assert torch.equal(after["state_dict"][name], tensor) == visual, name


def test_stopped_within_each_phase_and_resumed_equals_undisturbed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORD_INTERVAL", 2)
    recipe = {"epochs": 3, "visual_epochs": 1, "all_cells_epochs": 1, "dropout": 0.5}
    whole = squares.job(data, tmp_path / "whole", "hard:cells=3", **recipe)
    TASK.train(whole)
    parts = squares.job(data, tmp_path / "parts", "hard:cells=3", **recipe)
    for questions in (3, 7, 5, 2):
        asked = iter(range(1, 1000))
        stopping = lambda asked=asked, end=questions: next(asked) >= end  # noqa: E731
        with pytest.raises(Stopped):
            TASK.train(dataclasses.replace(parts, stopping=stopping))
    TASK.train(parts)
    for split in ("untrained", "train", "val"):
        assert parts.recorded(split) == whole.recorded(split)
    ours, expected = (
        torch.load(job.folder / "checkpoints" / "epoch_3.pth", weights_only=False)
        for job in (parts, whole)
    )
    assert ours["param_schedulers"] == expected["param_schedulers"]
    for name, tensor in expected["state_dict"].items():
        assert torch.equal(ours["state_dict"][name], tensor), name


@pytest.mark.parametrize(
    "recipe",
    [
        {"precision": "bfloat16", "encoder": "lstm"},
        {"channels_last": True, "accumulate": 2},
        {"network": "question_only", "visual_epochs": 0, "epochs": 1},
        {"network": "resnet", "depth": 14, "clip": 0.5, "frozen_visual": False},
        {"loss": "soft_scores", "optimizer": "sgd", "coordinates": False},
    ],
    ids=str,
)
def test_every_kind_of_recipe_trains(recipe, data, tmp_path):
    word = "none" if "network" in recipe else "bilinear:glimpses=2"
    job = squares.job(data, tmp_path, word, **recipe)
    TASK.train(job)
    assert np.isfinite(job.recorded("val")[-1]["accuracy"])


def test_what_sees_no_image_reads_none(data, tmp_path):
    blind = {"network": "question_only", "visual_epochs": 0, "epochs": 1}
    without = shutil.copytree(data, tmp_path / "set", ignore=shutil.ignore_patterns("images"))
    jobs = [
        squares.job(folder, tmp_path / name, "none", **blind)
        for name, folder in (("with", data), ("without", without))
    ]
    for job in jobs:
        TASK.train(job)
    assert not (without / "images").exists()
    assert jobs[0].recorded("val") == jobs[1].recorded("val")


def test_a_probe_makes_steps_without_data(tmp_path):
    probed = TASK.probe(squares.job(tmp_path, tmp_path, "soft"), 2, 5)
    assert len(probed.milliseconds) == 2
    assert probed.inputs == "8 questions about images of 32 x 32"


def test_two_processes_make_the_steps_of_one(data, start, tmp_path):
    """Of boxes and of questions; each process has the two images of its questions for itself."""
    two = start(2, squares.__file__, data, tmp_path / "two")
    squares.train(data, tmp_path / "one")
    two.succeed()
    ours, expected = (
        torch.load(tmp_path / name / "checkpoints" / "epoch_2.pth", weights_only=False)
        for name in ("two", "one")
    )
    assert ours["state_dict"].keys() == expected["state_dict"].keys()
    for name, tensor in expected["state_dict"].items():
        torch.testing.assert_close(ours["state_dict"][name], tensor, rtol=2e-5, atol=2e-5, msg=name)
