"""A training set that makes no batch is refused when it is planned, as fewer images are."""

from __future__ import annotations

import json

import numpy as np
import pytest
from command import study
from perfect_masks import write

GRID = """task: segmentation
recipe: {data: my-masks, epochs: 1, crop: [32, 32], base_channels: 8, head_channels: 8%s}
product: {mechanism: [none]}
"""


@pytest.fixture
def grid(tmp_path, monkeypatch):
    """Three images to train on; return what writes a grid with more keys in its recipe."""
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(0)
    for split, count in {"train": 3, "val": 1}.items():
        for number in range(count):
            image = chance.integers(0, 256, (32, 32, 3), np.uint8)
            write(tmp_path / f"copy/images/{split}/{number}.png", image)
            write(tmp_path / f"copy/labels/{split}/{number}.png", image[..., 0] // 128)
    done = study("data", "add", "masks", "my-masks", "--from", "copy", "-o", "classes=dark,bright")
    assert done.returncode == 0, done.stderr

    def make(more):
        (tmp_path / "masks.yaml").write_text(GRID % more)
        return "masks.yaml"

    return make


@pytest.mark.parametrize("verb", [("plan",), ("run",), ("submit", "--cluster", "local")])
def test_fewer_images_than_a_batch_are_refused_before_anything_starts(grid, tmp_path, verb):
    done = study(verb[0], grid(", batch_size: 4"), *verb[1:])
    assert done.returncode == 2
    assert done.stderr == (
        "error: masks: recipe.data my-masks: 3 training images make no batch of batch_size 4; "
        "batch_size 3 or less would do\n"
    )
    assert not (tmp_path / "results").exists()


def test_fewer_training_images_than_a_batch_are_refused_with_their_line(grid):
    done = study("plan", grid(", batch_size: 3, training_images: 2"))
    assert done.returncode == 2
    assert "masks.yaml:2: " in done.stderr
    assert "2 training images make no batch of batch_size 3" in done.stderr


@pytest.mark.train
def test_as_many_images_as_a_batch_are_trained_on_and_the_classes_are_recorded(grid, tmp_path):
    done = study("run", grid(", batch_size: 3"))
    assert done.returncode == 0, done.stdout + done.stderr
    (result,) = (tmp_path / "results" / "runs").glob("*/result.json")
    assert json.loads(result.read_text())["metrics"].keys() == {"aAcc", "mIoU", "mAcc", "classes"}
    table = study("table", "masks.yaml").stdout
    assert "own set my-masks: images with a class a pixel (own data), 3/1 images" in table
