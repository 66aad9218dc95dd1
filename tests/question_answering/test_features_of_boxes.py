"""Questions about features of boxes, of which one image has more than another."""

from __future__ import annotations

from dataclasses import replace

import coloured_squares as squares
import numpy as np
import pytest
import torch
from boxes_of_squares import BOXES, FEATURES, WIDTH, featured

from analysis.figures.attention_map import draw
from plugins.attention.core.standing import cost_at
from plugins.attention.core.word import Word
from plugins.contracts.dataset import PrepareError
from plugins.question_answering.boxes import as_shares
from plugins.question_answering.data import features
from plugins.question_answering.data.check import check
from plugins.question_answering.reading import Asked, ImageByImage
from plugins.question_answering.recipe import Recipe
from plugins.question_answering.task import QuestionAnswering

TASK = QuestionAnswering()
SETS = ("0000", "0010", "1000", "1010")
WORDS = ("soft:hops=2", "hard:cells=3", "hard:cells=0:pooling=pairwise", "hard:pooling=relation",
         "hard:cells=3:select=random", "bilinear:glimpses=2", "single", "co", "1010+bilinear",
         *SETS)  # fmt: skip
NUMBERS = [2, 6]
"""Boxes of the images."""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return squares.make(tmp_path_factory.mktemp("squares"))


@pytest.fixture
def job(tmp_path):
    return lambda word="none", **options: squares.job(
        tmp_path, tmp_path / "run", word, **{**FEATURES, "boxes": 6, **options}
    )


def batch():
    """Three questions about two images with features of noise."""
    chance = torch.Generator().manual_seed(1)
    boxes = [torch.rand(number, 2, 2, generator=chance).sort(1).values for number in NUMBERS]
    values = [torch.rand(number, WIDTH, generator=chance) for number in NUMBERS]
    words = torch.zeros(3, 6, dtype=torch.long)
    for row, length in zip(words, (3, 6, 2), strict=True):
        row[:length] = torch.randint(2, 11, (length,), generator=chance)
    images = [0, 0, 1]
    return {
        "inputs": [values[image] for image in images],
        "places": [boxes[image].flatten(1) for image in images],
        "image": images,
        "words": list(words),
    }


@pytest.mark.parametrize("pooling", ["mean", "sum"])
def test_pooled_boxes_are_those_that_are_there(pooling, job):
    model = squares.built(job(pooling=pooling)).eval()
    given = model.data_preprocessor(batch())
    read = model.read(**given)
    states, cells = read[0], read[2][given["of_image"]]
    pooled = model.meet(*read) - states[torch.arange(3), [2, 5, 1]]
    for index, number in enumerate([NUMBERS[0], NUMBERS[0], NUMBERS[1]]):
        embedded = model.pool.embed(cells[index, :number]).tanh()
        torch.testing.assert_close(pooled[index], getattr(embedded, pooling)(dim=0))


@pytest.mark.parametrize("word", ["none", *WORDS])
def test_padding_changes_no_answer(word, job):
    model = squares.built(job(word)).eval()
    given = batch()
    together = model(**model.data_preprocessor(given))
    for index in range(3):
        alone = {name: [values[index]] for name, values in given.items()}
        torch.testing.assert_close(model(**model.data_preprocessor(alone))[0], together[index])
    more = model.data_preprocessor(given)
    for name in ("inputs", "places"):
        more[name] = torch.cat([more[name], torch.full_like(more[name], 9.0)], dim=1)
    more["absent"] = torch.cat([more["absent"], torch.ones_like(more["absent"])], dim=1)
    torch.testing.assert_close(model(**more), together)


@pytest.mark.parametrize("word", WORDS)
def test_what_is_shown_and_counted_is_of_boxes_that_are_there(word, job):
    run = job(word)
    model = squares.built(run).eval()
    with torch.no_grad():
        read = model.read(**model.data_preprocessor(batch()))
        looked = model.looked(*read)
    absent = read[3]
    assert absent.sum(1).tolist() == [4, 4, 0]
    for name in ("weights", "mask", "presence"):
        if name in looked:
            seen = looked[name] if looked[name].dim() == 2 else looked[name].sum((1, 2))
            assert (seen[absent] == 0).all()
            assert (seen.sum(1) > 0).all()
    if "cells=3" in word:
        assert looked["mask"].sum(1).tolist() == [2, 2, 3]
    if word == "hard:pooling=relation":
        assert looked["mask"].sum(1).tolist() == [2, 2, 6]
        pool = TASK.site("pool", run.recipe)
        forms = [cost_at(Word.parse(word), replace(pool, queries=6, keys=n)) for n in NUMBERS]
        assert looked["macs_kept"].tolist() == [forms[0].macs, forms[0].macs, forms[1].macs]


@pytest.mark.parametrize("coordinates", [True, False])
def test_a_box_is_told_its_corners(coordinates, job):
    run = job("soft", coordinates=coordinates)
    model = squares.built(run)
    given = batch()
    _, _, cells, *_ = model.read(**model.data_preprocessor(given))
    assert cells.shape == (2, 6, run.recipe.cell_channels)
    torch.testing.assert_close(cells[1, :, :WIDTH], given["inputs"][2])
    if coordinates:
        torch.testing.assert_close(cells[1, :, WIDTH:], 2 * given["places"][2] - 1)


@pytest.mark.parametrize("word", ["soft:hops=2", "hard:cells=3", "bilinear", "co", *SETS])
def test_a_mechanism_costs_its_closed_form_in_boxes(word, job):
    run = job(word)
    counted = TASK.cost(run, 5)
    length = run.recipe.question_length
    site = TASK.site("pool", run.recipe)
    site = replace(site, queries=1 if word in SETS else length, keys=run.recipe.boxes)
    form = cost_at(Word.parse(word), site)
    assert counted.mechanism["macs"] == form.macs > 0
    assert counted.mechanism["parameters"] == form.parameters
    assert counted.input_shape == [6, WIDTH, length]


def asked(folder, split="train", boxes=4, channels=WIDTH, **options):
    answers = {"classes": ("no", "yes", "1", "2")}
    return Asked(str(folder), split, answers, None, 6, boxes=boxes, channels=channels, **options)


def test_the_features_of_an_image_are_read_once_for_all_its_questions(data, tmp_path, monkeypatch):
    folder, reads, whole = featured(data, tmp_path / "set"), [], features.image_with_features

    def watched(opened, path):
        reads.append(path)
        return whole(opened, path)

    monkeypatch.setattr(features, "image_with_features", watched)
    made = asked(folder)
    items = [made[index] for index in ImageByImage(8, dataset=made, shuffle=True, seed=0)]
    assert len(items) == 48
    assert sorted(reads) == sorted(made.paths)
    assert len(made.paths) == 12
    item = made[0]
    number = len(item["inputs"])
    assert item["inputs"].shape == (number, WIDTH)
    torch.testing.assert_close(item["places"], as_shares(BOXES[:number], (32, 32)))


def test_the_first_boxes_are_read(data, tmp_path):
    made = asked(featured(data, tmp_path / "set"), boxes=2)
    assert {len(made[index]["places"]) for index in range(len(made))} == {1, 2}


def without(folder):
    (folder / "features" / "train-3.npz").unlink()


def unnamed(folder):
    for path in (folder / "features").iterdir():
        path.unlink()
    (folder / "features").rmdir()


@pytest.mark.parametrize(
    ("spoil", "recipe", "message"),
    [
        (without, {}, r"features lacks features of images: 1 \(images/train-3\.png\)"),
        (unnamed, {}, r"has no features of boxes \(features or features\.h5\)"),
        (None, {"feature_channels": 7}, r"width 5: set feature_channels \(7\) to that"),
        (None, {"network": "convolutions", "frozen_visual": False, "boxes": 20,
                "feature_channels": 2048}, r"has features of boxes and no images"),
    ],
)  # fmt: skip
def test_what_cannot_be_seen_is_told_before_a_training(spoil, recipe, message, data, tmp_path):
    folder = featured(data, tmp_path / "set", images=False)
    if spoil is not None:
        spoil(folder)
    with pytest.raises(ValueError, match=message):
        TASK.train(squares.job(folder, tmp_path / "run", "soft", **{**FEATURES, **recipe}))


def test_a_set_with_features_needs_no_images(data, tmp_path):
    folder = featured(data, tmp_path / "set", images=False)
    found = check(folder, True, lambda doing: None)
    assert found.counts["questions"]["train"] == {"count": 12, "exist": 36}
    without(folder)
    with pytest.raises(PrepareError, match=r"images that .* lacks: 1 \(images/train-3\.png\)"):
        check(folder, True, lambda doing: None)


@pytest.mark.train
@pytest.mark.parametrize(
    ("word", "recipe"),
    [
        ("soft:hops=2", {}),
        ("bilinear:glimpses=2", {"precision": "bfloat16", "coordinates": False}),
        ("hard:cells=0", {"channels_last": True, "all_cells_epochs": 1}),
        ("none", {"pooling": "sum", "loss": "soft_scores"}),
        ("1010", {"accumulate": 2}),
    ],
    ids=str,
)
def test_features_train_and_are_looked_into(word, recipe, data, tmp_path):
    folder = featured(data, tmp_path / "set")
    job = squares.job(folder, tmp_path / "run", word, **{**FEATURES, **recipe})
    TASK.train(job)
    last = job.recorded("val")[-1]
    assert np.isfinite(last["accuracy"])
    assert "pointing" not in last
    found = TASK.evaluate(job, job.folder / "checkpoints" / "epoch_3.pth")
    assert found == {name: last[name] for name in found}
    if "hard" in word:
        assert 1 <= last["cells_kept"] <= 4
    question = "is there a red square?"
    if word == "none":
        with pytest.raises(ValueError, match="no weights of the cells to look at"):
            TASK.look(job, str(folder / "images/val-0.png"), question)
        return
    arrays = TASK.look(job, str(folder / "images/val-0.png"), question)
    assert str(arrays["question"]).startswith(question)
    if word == "soft:hops=2":
        assert len(arrays["pool/weights"]) == 2
        assert arrays["pool/weights"].sum() == pytest.approx(2)
        assert (arrays["pool/weights"] > 0).all()  # its first box is the whole image
        (folder / "images/val-0.png").rename(tmp_path / "other.png")
        with pytest.raises(ValueError, match=r"no features and boxes of other\.png"):
            TASK.look(job, str(tmp_path / "other.png"), question)
    if "hard" in word:
        assert set(np.unique(arrays["pool/mask"])) <= {0, 1}
    for path in draw(arrays, "pool", "a run", tmp_path / "drawn"):
        assert path.stat().st_size > 1000


def test_a_probe_makes_steps_without_data(job):
    probed = TASK.probe(job("soft"), 2, 5)
    assert len(probed.milliseconds) == 2
    assert probed.inputs == "8 questions about images of 6 x 5"


def test_only_the_meeting_of_words_and_boxes_is_a_site():
    recipe = Recipe(**FEATURES)
    assert recipe.cell_channels == WIDTH + 4
    TASK.check(Word.parse("soft"), ("pool",), recipe)
    with pytest.raises(ValueError, match="has no map to attend to at 'conv3'"):
        TASK.check(Word.parse("cbam"), ("conv3",), recipe)


def test_a_smoke_form_sees_the_embedded_images():
    small = TASK.smoke(Recipe(**FEATURES, loss="soft_scores"))
    assert (small.network, small.frozen_visual, small.loss) == (
        "convolutions", False, "soft_scores"
    )  # fmt: skip
