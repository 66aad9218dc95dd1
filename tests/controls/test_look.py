"""Where a run of a control looks, and what it is not asked."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS
from PIL import Image

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.controls import stem
from plugins.controls.config import network
from plugins.controls.drawing import CELL, SIDE
from plugins.controls.recipe import Recipe
from plugins.controls.scenes import CELLS, RING
from plugins.controls.sites import SITE
from plugins.controls.train import look


@pytest.fixture
def job(tmp_path):
    """A run of 1010 whose weights are as they start, saved as by a training."""
    made = Job(
        mechanism=Word.parse("1010"),
        sites=(SITE,),
        seed=0,
        recipe=Recipe(),
        data=tmp_path,
        folder=tmp_path,
        device="cpu",
        record=lambda *arguments, **values: None,
        recorded=lambda split: [],
    )
    torch.manual_seed(0)
    model, named = MODELS.build(network(made)), stem.Stem()
    checkpoints = tmp_path / "checkpoints"
    checkpoints.mkdir()
    torch.save({"state_dict": model.state_dict(), "meta": {}}, checkpoints / "epoch_1.pth")
    torch.save(named.state_dict(), checkpoints / "stem-0.pt")
    return made


@pytest.fixture
def scene(tmp_path):
    pixels = np.random.default_rng(0).integers(256, size=(SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scene.png")
    return tmp_path / "scene.png"


def test_the_weights_are_those_of_the_pixels_cell(job, scene):
    found = look(job, scene, (3 * CELL + 5, 2 * CELL + 1))
    assert found["image"].shape == (CELL * CELLS, CELL * CELLS, 3)
    assert found["query"].tolist() == [2 * CELL + 5, CELL + 1]
    # Once more, step by step.
    saved = torch.load(job.folder / "checkpoints/epoch_1.pth", weights_only=True)["state_dict"]
    model, named = MODELS.build(network(job)), stem.load(job.folder / "checkpoints/stem-0.pt")
    model.load_state_dict(saved)
    pixels = torch.from_numpy(np.array(Image.open(scene))).permute(2, 0, 1)[None] / 255
    with torch.no_grad():
        every = model.looked(model.attending(named(pixels)))["weights"]
    row, column = 2 - RING, 3 - RING
    expected = every[0, :, row * CELLS + column].unflatten(1, (CELLS, CELLS))
    np.testing.assert_allclose(found["block/weights"], expected, atol=1e-6)
    assert np.ptp(found["block/weights"]) > 0


def test_looking_writes_nothing_and_lets_no_stem_learn(job, scene):
    (job.folder / "checkpoints/stem-0.pt").unlink()
    before = sorted(job.folder.rglob("*"))
    with pytest.raises(ValueError, match=r"stem-0.pt is missing"):
        look(job, scene, None)
    assert sorted(job.folder.rglob("*")) == before


def test_the_ring_and_other_images_are_refused(job, scene, tmp_path):
    with pytest.raises(ValueError, match="in the ring around the cells"):
        look(job, scene, (CELL - 1, 2 * CELL))
    Image.new("RGB", (50, 40)).save(tmp_path / "other.png")
    with pytest.raises(ValueError, match="50 x 40 pixels, and a scene 128 x 128"):
        look(job, tmp_path / "other.png", None)
