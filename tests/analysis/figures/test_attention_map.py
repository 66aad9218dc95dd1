"""The figure of where a query looks."""

import numpy as np
import pytest

from analysis.figures.attention_map import draw, figure_of, layers


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


def test_a_matrix_of_a_thousand_tokens_is_no_larger_than_a_poster():
    arrays = {
        "source": np.array(["▁a"] * 1000),
        "target": np.array(["▁x"] * 1000),
        "decoder.layers.0.encoder_attn/weights": np.full((2, 1000, 1000), 1e-3),
    }
    figure = figure_of(arrays, "decoder.layers.0.encoder_attn")
    assert figure.get_size_inches().max() < 50
    assert len(figure.axes[0].get_xticklabels()) == 1000


def test_the_same_arrays_give_the_same_bytes(over_image, tmp_path):
    first = [path.read_bytes() for path in draw(over_image, "a.block", "t", tmp_path / "one")]
    again = [path.read_bytes() for path in draw(over_image, "a.block", "t", tmp_path / "two")]
    assert first == again


def heat(axes):
    """The map that lies over the picture."""
    return np.asarray(axes.images[-1].get_array())


def test_numbers_by_channel_are_a_sorted_curve_and_numbers_by_position_a_map(over_image, tmp_path):
    rng = np.random.default_rng(1)
    gate, saliency, odd = rng.random(6), rng.normal(size=(4, 6)), rng.random((2, 3, 4, 5))
    picture = {name: over_image[name] for name in ("image", "query")}
    arrays = picture | {"c/gate": gate, "c/saliency": saliency, "c/odd": odd, "d/gate": gate}
    assert layers(arrays) == ["c", "d"]
    figure = figure_of(arrays, "c")
    by_title = {axes.get_title().partition("\n")[0]: axes for axes in figure.axes if axes.axison}
    (line,) = by_title["gate"].lines
    assert line.get_ydata().tolist() == sorted(gate, reverse=True)
    assert line.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    (over,) = (axes for axes in figure.axes if axes.get_title().startswith("saliency\n"))
    assert heat(over) == pytest.approx(saliency)
    assert over.get_title() == f"saliency\n{saliency.min():.3g} to {saliency.max():.3g}"
    assert over.images[-1].get_clim() == (saliency.min(), saliency.max())
    assert [len(axes.images) for axes in figure.axes] == [1, 2, 0]
    assert figure.get_supxlabel() == "Not drawn, for the shape: odd (2 × 3 × 4 × 5)."
    assert [path.suffix for path in draw(arrays, "c", "a run", tmp_path / "c")] == [".png", ".svg"]


def test_the_only_head_is_shown_once(over_image):
    picture = {name: over_image[name] for name in ("image", "query")}
    weights = over_image["a.block/weights"]
    for number, titles in [(1, ["weights"]), (2, ["weights, mean of heads", "head 1", "head 2"])]:
        figure = figure_of(picture | {"cross/weights": weights[:number]}, "cross")
        shown = [axes.get_title().partition("\n")[0] for axes in figure.axes if axes.get_title()]
        assert shown == ["query", *titles]


def test_gates_that_hardly_differ_have_whole_numbers_at_their_axis(over_image):
    picture = {name: over_image[name] for name in ("image", "query")}
    figure = figure_of(picture | {"c/gate": 0.982 + np.linspace(0, 2e-5, 6)}, "c")
    figure.draw_without_rendering()
    axis = figure.axes[1].yaxis
    assert axis.get_offset_text().get_text() == ""
    assert all(label.get_text().startswith("0.98") for label in axis.get_ticklabels())


def test_a_crop_is_outlined_where_it_lies_in_the_image_or_beyond(over_image, tmp_path):
    """The image has 60 x 40 pixels."""
    picture = {name: over_image[name] for name in ("image", "query")}
    corners = np.array([[0.5, 0.25], [1.25, 0.25], [1.25, 0.75], [0.5, 0.75]])
    arrays = picture | {"stn/crop": corners, "stn/gate": np.ones(3)}
    figure = figure_of(arrays, "stn")
    titles = [axes.get_title().partition("\n")[0] for axes in figure.axes]
    assert titles == ["query", "crop", "gate"]
    axes = figure.axes[1]
    (outline,) = axes.patches
    assert outline.get_xy()[:4].tolist() == [[30, 10], [75, 10], [75, 30], [30, 30]]
    assert not outline.get_fill()
    (dot,) = axes.lines
    assert dot.get_xydata().tolist() == [[30, 10]]
    assert (axes.get_xlim(), axes.get_ylim()) == ((0, 75), (40, 0))
    assert figure.get_supxlabel() == ""
    assert draw(arrays, "stn", "a run", tmp_path / "stn")[0].is_file()
    other = figure_of(picture | {"other/crop": np.ones((3, 2))}, "other")
    assert len(other.axes[1].images) == 2  # no corners, so a map


def test_what_stands_beside_weights_is_drawn_after_the_heads(over_image):
    figure = figure_of(over_image | {"a.block/gate": np.array([0.1, 0.9])}, "a.block")
    titles = [axes.get_title().partition("\n")[0] for axes in figure.axes]
    assert titles[:7] == [
        *("query", "all terms, mean of heads", "E1  query-key content alone"),
        *("E3  key content alone", "head 1", "head 2", "gate"),
    ]
    assert heat(figure.axes[4]) == pytest.approx(over_image["a.block/weights"][0])
    assert figure.get_supxlabel() == ""


def test_a_mechanism_of_sentences_without_weights_has_its_curves(tmp_path):
    arrays = {
        "source": np.array(["▁a", "</s>"]),
        "target": np.array(["▁x", "</s>"]),
        "encoder.layers.0/gate": np.array([0.2, 0.7, 0.5]),
        "encoder.layers.0/pairs": np.ones((2, 2)),
    }
    figure = figure_of(arrays, "encoder.layers.0")
    (axes,) = figure.axes
    assert axes.lines[0].get_ydata().tolist() == [0.7, 0.5, 0.2]
    assert figure.get_supxlabel() == "Not drawn, for the shape: pairs (2 × 2)."
    assert draw(arrays, "encoder.layers.0", "a run", tmp_path / "map")[0].is_file()


def test_a_question_stands_above_its_image_and_no_pixel_is_marked(over_image):
    asked = {name: array for name, array in over_image.items() if name != "query"}
    figure = figure_of(asked | {"question": np.array("is there a four? yes")}, "b.block")
    assert figure.axes[0].get_title() == "is there a four? yes"
    assert not any(ax.lines for ax in figure.axes)
    assert all(figure_of(over_image, "b.block").axes[index].lines for index in range(2))


def test_words_of_a_question_are_shown_by_glimpse(over_image, tmp_path):
    rng = np.random.default_rng(2)
    weights = rng.random((2, 3, 4, 6))
    weights /= weights.sum(axis=(1, 2, 3), keepdims=True)
    asked = {"question": np.array("a red one? yes"), "words": np.array(["a", "red", "one"])}
    arrays = {"image": over_image["image"], **asked, "pool/weights": weights}
    figure = figure_of(arrays, "pool")
    maps = [ax for ax in figure.axes if len(ax.images) == 2]
    assert len(maps) == (1 + 3) * (1 + 2)  # the sum of the words and each, of all and of each
    np.testing.assert_allclose(heat(maps[1]), weights[0].sum(axis=0))
    np.testing.assert_allclose(heat(maps[8]), weights[1, 1])
    titles = [ax.get_title() for ax in figure.axes]
    assert "a red one? yes" in titles
    assert f"red  {100 * weights[1, 1].sum():.0f} %" == maps[8].get_title()


def test_words_of_one_glimpse_follow_each_other_as_they_are_read(over_image):
    words = np.array(["what", "digit", "is", "left", "of", "the", "two"])
    weights = np.random.default_rng(2).random((1, 7, 4, 6))
    weights /= weights.sum()
    asked = {"question": np.array("what digit is left of the two? nine"), "words": words}
    figure = figure_of({"image": over_image["image"], **asked, "pool/weights": weights}, "pool")
    shape = figure.axes[0].get_gridspec()
    assert (shape.nrows, shape.ncols) == (2, 5)  # the picture, the sum, seven words, one place free
    names = [ax.get_title().split("  ")[0] for ax in figure.axes[2:]]
    assert names == [*words, ""]
    np.testing.assert_allclose(heat(figure.axes[5]), weights[0, 3])


def test_weights_of_words_stand_with_the_question_and_a_mask_tells_how_many_it_keeps(over_image):
    asked = {"question": np.array("a red one? yes"), "words": np.array(["a", "red", "one"])}
    mask = np.zeros((4, 6))
    mask[1, 2:5] = 1
    arrays = {"image": over_image["image"], **asked, "pool/mask": mask}
    arrays["pool/words"] = np.array([0.2, 0.7, 0.1])
    titles = [ax.get_title().replace("\n", " ") for ax in figure_of(arrays, "pool").axes]
    assert "a red one? yes (a 0.20 red 0.70 one 0.10)" in titles
    assert "mask 3 of 24" in titles
