"""The figure of where a query looks."""

import numpy as np
import pytest

from analysis.figures.attention_map import draw, layers


@pytest.fixture
def over_image():
    rng = np.random.default_rng(0)
    energy = rng.normal(size=(2, 4, 6))
    weights = np.exp(energy) / np.exp(energy).sum(axis=(1, 2), keepdims=True)
    image = rng.integers(0, 255, (40, 60, 3), dtype=np.uint8)
    return {
        "image": image,
        "query": np.array([30, 10]),
        "a.block/weights": weights,
        "a.block/E1": energy,
        "a.block/E3": energy[:, ::-1],
        "b.block/weights": weights,
    }


def texts(path):
    return path.read_text(encoding="utf-8")


def test_layers_keep_the_networks_order(over_image):
    assert layers(over_image) == ["a.block", "b.block"]


def test_an_image_is_shown_by_term_and_head(over_image, tmp_path):
    png, svg = draw(over_image, "a.block", "a run", tmp_path / "map")
    assert png.read_bytes().startswith(b"\x89PNG")
    drawn = texts(svg)
    peak = over_image["a.block/weights"].mean(axis=0).max() * 24
    for text in ("a run", "a.block", "all terms", "E1", "E3", "head 2", f"{peak:.1f} × uniform"):
        assert text in drawn
    assert "E2  query" not in drawn
    assert "head 3" not in drawn


def test_two_sentences_are_shown_as_an_alignment(tmp_path):
    arrays = {
        "source": np.array(["▁a", "▁b", "</s>"]),
        "target": np.array(["▁x", "</s>"]),
        "decoder.layers.0.encoder_attn/weights": np.full((5, 2, 3), 1 / 3),
    }
    _, svg = draw(arrays, "decoder.layers.0.encoder_attn", "a run", tmp_path / "map")
    for text in ("▁a", "▁b", "▁x", "mean of the heads", "head 5"):
        assert text in texts(svg)


def test_the_same_arrays_give_the_same_bytes(over_image, tmp_path):
    first = [path.read_bytes() for path in draw(over_image, "a.block", "t", tmp_path / "one")]
    again = [path.read_bytes() for path in draw(over_image, "a.block", "t", tmp_path / "two")]
    assert first == again
