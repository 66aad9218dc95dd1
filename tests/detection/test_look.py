"""Looking into a detector: the weights of one pixel, block by block."""

import dataclasses

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.utils import register_all_modules

from plugins.attention.core.word import Word
from plugins.contracts.job import Job
from plugins.detection.config import detector
from plugins.detection.recipe import Recipe
from plugins.detection.task import Detection
from study import data

pytestmark = pytest.mark.data

look = Detection().look


@pytest.fixture(scope="module")
def image():
    return sorted((data.path("trees") / "images").glob("val*"))[0]


@pytest.fixture
def job(tmp_path):
    return untrained("1011", tmp_path)


def untrained(word, tmp_path):
    """A run whose checkpoint holds random weights."""
    made = Job(
        mechanism=Word.parse(word),
        sites=Detection.default_sites,
        seed=0,
        recipe=Recipe(),
        data=data.path("trees"),
        folder=tmp_path,
        device="cpu",
        record=None,
        recorded=None,
    )
    register_all_modules(init_default_scope=True)
    torch.manual_seed(0)
    model = MODELS.build(detector(made, 1))
    (tmp_path / "checkpoints").mkdir()
    weights = {"state_dict": model.state_dict(), "meta": {}}
    torch.save(weights, tmp_path / "checkpoints" / "epoch_1.pth")
    return made


def test_every_block_shows_weights_and_terms_for_the_pixel(job, image):
    arrays = Detection().look(job, str(image), (100, 60))
    assert arrays["image"].shape == (256, 256, 3)
    assert arrays["query"].tolist() == [100, 60]
    blocks = {key.rpartition("/")[0] for key in arrays if "/" in key}
    assert blocks == {f"backbone.layer{n}.0.gen_attention_block" for n in (3, 4)}
    for block, side in zip(sorted(blocks), (8, 4), strict=True):  # stride 16 and 32, keys 2
        weights = arrays[f"{block}/weights"]
        assert weights.shape == (8, side, side)
        np.testing.assert_allclose(weights.sum((1, 2)), 1, rtol=1e-5)
        energy = sum(arrays[f"{block}/{term}"] for term in ("E1", "E3", "E4"))
        exponent = np.exp(energy - energy.max((1, 2), keepdims=True))
        expected = exponent / exponent.sum((1, 2), keepdims=True)
        np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-6)
        assert f"{block}/E2" not in arrays


@pytest.mark.parametrize(
    ("word", "side"),
    [
        *(("nonlocal:subsample=true", 8), ("sagan", 8)),
        *(("global_context", 16), ("criss_cross", 16), ("criss_cross:recurrences=1", 16)),
    ],
)
def test_other_blocks_show_the_weights_of_the_pixel_too(word, side, image, tmp_path):
    arrays = look(untrained(word, tmp_path), str(image), (100, 60))
    weights = arrays[f"backbone.layer3.0.{word.partition(':')[0]}/weights"]
    assert weights.shape == (1, side, side)
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-5)
    if word.endswith("recurrences=1"):
        rows, columns = weights[0].nonzero()
        assert len(rows) == 16 + 16 - 1
        assert ((rows == 60 // 16) | (columns == 100 // 16)).all()


def test_the_middle_pixel_looks_unless_one_is_named(job, image):
    found, named = (look(job, str(image), query) for query in (None, (128, 128)))
    assert found["query"].tolist() == [128, 128]  # of an image of 256 x 256
    name = "backbone.layer3.0.gen_attention_block/weights"
    np.testing.assert_array_equal(found[name], named[name])


def test_what_cannot_be_looked_at_is_said(job, image, tmp_path):
    text, thin, cut, empty = (tmp_path / f"{name}.png" for name in ("text", "thin", "cut", "empty"))
    text.write_text("no image")
    empty.touch()
    whole = cv2.imencode(".png", np.zeros((4, 3000, 3), np.uint8))[1].tobytes()
    thin.write_bytes(whole)
    cut.write_bytes(whole[: len(whole) // 3])
    for source, query, message in (
        (image, (256, 0), "pixel 256,0 is outside the image"),
        (tmp_path / "absent.png", (0, 0), "no such image"),
        (tmp_path, (0, 0), "no such image"),
        (text, (0, 0), "is not an image"),
        (empty, None, "is not an image"),
        (cut, None, "is not an image, or a broken one"),
        (thin, None, "has 3000 x 4 pixels: nothing is left of the shorter side"),
        ("", None, "no such image: . is a folder"),
        (text / "x", None, "x cannot be read: Not a directory"),
    ):
        with pytest.raises(ValueError, match=message):
            Detection().look(job, str(source), query)
    (tmp_path / "checkpoints" / "epoch_1.pth").unlink()
    with pytest.raises(ValueError, match="train the run first"):
        Detection().look(dataclasses.replace(job), str(image), (0, 0))
