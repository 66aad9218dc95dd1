"""Trainings of a few steps on phrases: what they record, and that they end alike."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import pickle

import coloured_squares as squares
import numpy as np
import pytest
import torch

from analysis.figures.attention_map import draw, layers
from plugins.contracts.job import CheckpointError, Stopped
from plugins.openmmlab import records
from plugins.question_answering.data import features
from plugins.question_answering.data.layout import read_phrases, write_phrases
from plugins.question_answering.grounding.reading import Spoken
from plugins.question_answering.task import QuestionAnswering

pytestmark = pytest.mark.train
TASK = QuestionAnswering()
GROUND = {"goal": "ground", "boxes": 6, "batch_size": 4}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares.make(tmp_path_factory.mktemp("squares"))


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    job = squares.job(data, tmp_path_factory.mktemp("bilinear"), "bilinear", **GROUND)
    TASK.train(job)
    return job


def test_a_run_records_what_it_should(trained):
    assert [line["step"] for line in trained.recorded("val")] == [3, 6, 9]  # 12 sentences
    last = trained.recorded("val")[-1]
    assert {"accuracy", "recall_1", "recall_5", "recall_10", "upper_bound", "chance", "merged_1",
            "merged_upper_bound", "recall_1_red"} <= last.keys()  # fmt: skip
    assert last["recall_10"] == last["upper_bound"]  # of six boxes
    assert last["accuracy"] <= last["recall_5"]
    items = trained.kept[-1]
    assert len(items["item"]) == len(read_phrases(trained.data, "val")) == 9
    whole = TASK.value_of_items(items, np.ones((1, 9), int))
    assert whole[0] == pytest.approx(last["accuracy"], abs=1e-6)


def test_weights_from_a_file_are_evaluated_as_the_training_did(trained, tmp_path):
    checkpoint = trained.folder / "checkpoints" / "epoch_3.pth"
    found = TASK.evaluate(dataclasses.replace(trained, folder=tmp_path), checkpoint)
    last = trained.recorded("val")[-1]
    assert found == {name: last[name] for name in found}
    with pytest.raises(CheckpointError):
        TASK.evaluate(squares.job(trained.data, tmp_path, "1000", **GROUND), checkpoint)


@pytest.mark.parametrize("of_the_set", [True, False])
def test_it_shows_which_boxes_it_takes(trained, of_the_set, tmp_path):
    image = trained.data / "images/val/1.png"
    if not of_the_set:
        image = image.rename(tmp_path / "other.png")
    try:
        arrays = TASK.look(trained, str(image), "[the red square] near [the blue square]")
    finally:
        if not of_the_set:
            image.rename(trained.data / "images/val/1.png")
    assert str(arrays["question"]) == "[the red square] near [the blue square]"
    assert layers(arrays) == ["boxes"]
    for name in ("1 the red square", "2 the blue square"):
        best, scored = arrays[f"boxes/crop {name}"], arrays[f"boxes/{name}"]
        assert best.shape == (4, 2)
        assert scored.shape == trained.recipe.cells
        column, row = (int(at * 4) for at in best.mean(0))
        assert scored[row, column] == scored.max() < 1
    for path in draw(arrays, "boxes", "a run", tmp_path / "drawn"):
        assert path.stat().st_size > 1000


def test_stopped_within_each_phase_and_resumed_equals_undisturbed(data, tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORD_INTERVAL", 2)
    whole = squares.job(data, tmp_path / "whole", "soft:hops=2", **GROUND)
    TASK.train(whole)
    parts = squares.job(data, tmp_path / "parts", "soft:hops=2", **GROUND)
    for sentences in (2, 3):
        asked = iter(range(1, 1000))
        stopping = lambda asked=asked, end=sentences: next(asked) >= end  # noqa: E731
        with pytest.raises(Stopped):
            TASK.train(dataclasses.replace(parts, stopping=stopping))
    TASK.train(parts)
    for split in ("untrained", "train", "val"):
        assert parts.recorded(split) == whole.recorded(split)
    ours, expected = (
        torch.load(job.folder / "checkpoints" / "epoch_3.pth", weights_only=False)["state_dict"]
        for job in (parts, whole)
    )
    assert all(torch.equal(ours[name], tensor) for name, tensor in expected.items())


def of_features(data, folder):
    """Write the same phrases with features of boxes, a different number for each image."""
    (folder / "features").mkdir(parents=True)
    chance, phrases = np.random.default_rng(0), {}
    for split in ("train", "val"):
        phrases[split] = []
        for phrase in read_phrases(data, split):
            name = phrase.image.replace("images/", "").replace("/", "-")
            path = folder / f"features/{name.removesuffix('.png')}.npz"
            phrases[split].append(dataclasses.replace(phrase, image=str(path.relative_to(folder))))
            boxes = np.array([[0, 0, 32, 32], [2, 2, 14, 14], [18, 2, 30, 14]], np.float32)
            boxes = boxes[: 2 + len(phrases[split]) % 2]
            np.savez(path, features=chance.random((len(boxes), 5), np.float32), boxes=boxes)
    write_phrases(folder, phrases)
    return folder


FEATURES = {**GROUND, "network": "features", "feature_channels": 5, "visual_epochs": 0}


@pytest.mark.parametrize(
    ("word", "recipe"),
    [
        ("co", {"precision": "bfloat16", "encoder": "lstm", "coordinates": False}),
        ("1010", {"channels_last": True, "accumulate": 2, "epochs": 2}),
        ("soft", {"network": "resnet", "depth": 14, "clip": 0.5, "frozen_visual": False}),
    ],
    ids=str,
)
def test_every_kind_of_recipe_trains(word, recipe, data, tmp_path):
    job = squares.job(data, tmp_path, word, **GROUND | recipe)
    TASK.train(job)
    assert np.isfinite(job.recorded("val")[-1]["accuracy"])


def test_features_of_boxes_train_alike(data, tmp_path):
    folder = of_features(data, tmp_path / "set")
    job = squares.job(folder, tmp_path / "run", "bilinear", **FEATURES)
    TASK.train(job)
    assert job.recorded("val")[-1]["upper_bound"] > job.recorded("val")[-1]["chance"]
    assert TASK.cost(job).input_shape == [6, 5, 6]
    with pytest.raises(ValueError, match="cannot look at an image file"):
        TASK.look(job, str(data / "images/val/0.png"), "the red square")
    wrong = squares.job(
        folder, tmp_path / "wrong", "bilinear", **FEATURES | {"feature_channels": 7}
    )
    with pytest.raises(ValueError, match=r"width 5: set feature_channels \(7\) to that"):
        TASK.train(wrong)


def test_a_file_of_features_stays_open_while_it_is_read(data, tmp_path, monkeypatch):
    """As one with HDF5 does, which is read piece by piece; a copy in a worker opens its own."""
    folder, opened = of_features(data, tmp_path / "set"), []
    whole = features.open_features

    @contextlib.contextmanager
    def watched(path):
        with whole(path) as found:
            opened.append("open")
            yield found
        opened.append("closed")

    monkeypatch.setattr(features, "open_features", watched)
    made = Spoken(str(folder), "train", {"classes": ()}, 6, 6, channels=5)
    first = made[0]["inputs"]
    gc.collect()
    assert (first.shape[1], len(made[5]["inputs"]), opened) == (5, 3, ["open"])
    assert (pickle.loads(pickle.dumps(made))[0]["inputs"] == first).all()
    assert opened.count("open") == 2


@pytest.mark.parametrize("recipe", [GROUND, FEATURES], ids=["images", "features"])
def test_a_probe_makes_steps_without_data(recipe, tmp_path):
    probed = TASK.probe(squares.job(tmp_path, tmp_path, "bilinear", **recipe), 2, 5)
    assert len(probed.milliseconds) == 2
    size = "6 x 5" if "network" in recipe else "32 x 32"
    assert probed.inputs == f"4 sentences about images of {size}"


def test_two_processes_make_the_steps_of_one(data, start, tmp_path):
    """Of boxes and of phrases; a process may have more phrases than another."""
    two = start(2, squares.__file__, data, tmp_path / "two", "ground")
    squares.train(data, tmp_path / "one", "ground")
    two.succeed()
    ours, expected = (
        torch.load(tmp_path / name / "checkpoints" / "epoch_2.pth", weights_only=False)
        for name in ("two", "one")
    )
    assert ours["state_dict"].keys() == expected["state_dict"].keys()
    for name, tensor in expected["state_dict"].items():
        torch.testing.assert_close(ours["state_dict"][name], tensor, rtol=2e-5, atol=2e-5, msg=name)


def test_steps_are_whole_batches_of_sentences(data):
    recipe = squares.job(data, data, "bilinear", **GROUND).recipe
    assert TASK.training_steps(recipe, 48, data) == 3 * 3
    assert TASK.training_steps(recipe, 48, None) is None
    assert TASK.training_steps(recipe.model_copy(update={"training_images": 8}), 48, data) == 3 * 2
