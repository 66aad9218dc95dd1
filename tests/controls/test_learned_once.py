"""A stem is learned once for all runs that it is the same in."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.controls import stem, store, train
from plugins.controls.config import NamedCells
from plugins.controls.drawing import SIDE
from plugins.controls.recipe import Recipe
from plugins.controls.scenes import CLASSES, draw
from plugins.controls.sites import SITE


@pytest.fixture
def job(tmp_path):
    """A run on four small scenes, of noise for digits and photo."""
    chance = np.random.default_rng(0)
    data = tmp_path / "sets" / "scenes"
    data.mkdir(parents=True)
    drawn = [draw("twin", chance) for _ in range(4)]
    kept = dict(
        zip(
            ("classes", "inks", "answers", "places"),
            map(np.stack, zip(*drawn, strict=True)),
            strict=True,
        )
    )
    kept |= {"digits": np.zeros_like(kept["classes"]), "ground": np.zeros((4, 2), int)}
    np.savez(data / "scenes.npz", **{f"twin_train_{name}": each for name, each in kept.items()})
    np.savez(data / "digits.npz", train=chance.integers(256, size=(CLASSES, 1, 14, 14)))
    Image.fromarray(chance.integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)).save(
        data / "photo.png"
    )
    (data / "card.json").write_text(json.dumps({"fingerprint": "a"}))
    return Job(
        mechanism=Word.parse("1000"), sites=(SITE,), seed=0, recipe=Recipe(stem_steps=2), data=data,
        folder=tmp_path / "one", device="cpu", record=lambda *arguments, **values: None,
        recorded=lambda split: [],
    )  # fmt: skip


@pytest.fixture
def learned(monkeypatch):
    """The seeds of the stems that were learned."""
    seeds = []

    def learn(drawer, seed, *rest):
        seeds.append(seed)
        return stem_learn(drawer, seed, *rest)

    stem_learn = stem.learn
    monkeypatch.setattr(stem, "learn", learn)
    return seeds


def weights(file):
    return torch.load(file, weights_only=True)


def test_runs_that_differ_in_their_mechanism_share_a_stem(job, learned, tmp_path):
    one = train._stem(job)
    other = train._stem(replace(job, mechanism=Word.parse("none"), folder=tmp_path / "other"))
    assert learned == [0]
    assert one != other
    assert all(map(torch.equal, weights(one).values(), weights(other).values()))


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"recipe": Recipe(stem_steps=3)},
        {"recipe": Recipe(stem_steps=2, training_images=2)},
    ],
    ids=["seed", "steps", "scenes"],
)
def test_what_a_stem_depends_on_makes_another_one(job, learned, tmp_path, change):
    one = weights(train._stem(job))
    other = weights(train._stem(replace(job, folder=tmp_path / "other", **change)))
    assert len(learned) == 2
    assert not all(map(torch.equal, one.values(), other.values()))


def test_other_data_make_another_one(job, learned, tmp_path):
    train._stem(job)
    (job.data / "card.json").write_text(json.dumps({"fingerprint": "b"}))
    train._stem(replace(job, folder=tmp_path / "other"))
    assert len(learned) == 2


@pytest.mark.parametrize("kept", [0, 1000])
def test_a_broken_copy_is_learned_again_and_mended(job, learned, tmp_path, kept):
    whole = weights(train._stem(job))
    (shared,) = (job.data.parent / store.STORE).iterdir()
    shared.write_bytes(shared.read_bytes()[:kept])
    again = weights(train._stem(replace(job, folder=tmp_path / "other")))
    assert len(learned) == 2
    for found in again, weights(shared):
        assert all(map(torch.equal, whole.values(), found.values()))


def test_where_no_copy_can_be_written_a_run_has_its_stem_all_the_same(job, learned):
    (job.data.parent / store.STORE).write_text("a file, no folder")
    assert train._stem(job).exists()
    assert learned == [0]


def test_runs_that_share_a_stem_name_the_scenes_once(job, monkeypatch, tmp_path):
    named = []

    def features(*arguments):
        named.append(arguments)
        return stem_features(*arguments)

    stem_features = stem.features
    monkeypatch.setattr(stem, "features", features)

    def seen(changed, images=None):
        weights = train._stem(changed)
        return NamedCells(str(job.data), "twin", "train", str(weights), images).features

    one = seen(job)
    other = seen(replace(job, mechanism=Word.parse("none"), folder=tmp_path / "other"))
    assert len(named) == 1
    assert torch.equal(one, other)
    assert torch.equal(one, stem_features(*named[0]))
    # What a stem of another seed says is something else, and so are fewer scenes.
    assert not torch.equal(one, seen(replace(job, seed=1, folder=tmp_path / "seed")))
    assert torch.equal(one[:2], seen(job, 2))
    assert len(named) == 3
