"""Questions about land cover have the answers of the map, and share tiles with `landcover`."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from question_only import assert_told_by_the_card

from plugins.question_answering.data.landcover import questions
from plugins.question_answering.data.layout import read_answers, read_questions
from study import data

CLASSES = ("water", "forest", "shrubland", "savanna", "grassland", "cropland", "barren")
SPLITS = ("train", "val", "test")


def asked(**shares: float) -> set[tuple[str, str]]:
    every = dict.fromkeys(CLASSES, 0.0) | shares
    found = [each for seed in range(200) for each in questions(random.Random(seed), "", every)]
    return {(each.question, *each.answers) for each in found}


def test_what_is_hardly_to_be_told_is_not_asked():
    told = asked(water=0.5, forest=0.24, savanna=0.21, barren=0.01)
    about = {question for question, _ in told}
    assert ("is there forest?", "yes") in told
    assert ("is there cropland?", "no") in told
    assert "is there barren?" not in about
    assert ("is there more water than forest?", "yes") in told
    assert ("is there more forest than water?", "no") in told
    assert "is there more forest than savanna?" not in about
    # Neither a half nor a quarter is clear here, and no land is clearly the main one.
    areas = {(q, a) for q, a in told if q.startswith("how much")}
    assert areas == {
        ("how much of the tile is savanna?", "under a quarter"),
        *((f"how much of the tile is {name}?", "none")
          for name in ("shrubland", "grassland", "cropland")),
    }  # fmt: skip
    assert "what is the main land cover?" not in about


def test_the_main_cover_is_land():
    assert ("what is the main land cover?", "forest") in asked(water=0.6, forest=0.3, barren=0.1)


@pytest.fixture(scope="module")
def folder() -> Path:
    data.prepare(["landcover-questions"])
    return data.path("landcover-questions")


@pytest.mark.data
def test_the_card_counts_what_is_there(folder):
    counts = data.card("landcover-questions")["counts"]
    for split in SPLITS:
        found = read_questions(folder, split)
        assert len(found) == counts["items"][split]
        assert len({each.image for each in found}) <= counts["tiles"][split]
        yes_no = Counter((q.image, q.type, q.answers) for q in found if q.answers[0] in "yes no")
        for image, kind, _ in list(yes_no):
            assert yes_no[image, kind, ("yes",)] == yes_no[image, kind, ("no",)]
    assert set(read_answers(folder)) == {
        "yes", "no", "none", "under a quarter", "a quarter to a half", "over a half",
        *CLASSES[1:],
    }  # fmt: skip


@pytest.mark.data
def test_tiles_and_answers_are_those_of_the_set_landcover(folder):
    data.prepare(["landcover"])
    other = data.path("landcover")
    assert (
        data.card("landcover")["counts"]["items"]
        == (data.card("landcover-questions")["counts"]["tiles"])
    )
    for split in SPLITS:
        for each in read_questions(folder, split)[::25]:
            path = Path(each.image)
            place = f"{split}/{path.parent.name}/{path.stem}"
            image = other / "leftImg8bit" / f"{place}_leftImg8bit.png"
            assert (folder / path).read_bytes() == image.read_bytes()
            label = np.asarray(Image.open(other / "gtFine" / f"{place}_gtFine_labelTrainIds.png"))
            share = {name: (label == number).mean() for number, name in enumerate(CLASSES)}
            words, (answer,) = each.question.removesuffix("?").split(), each.answers
            if each.type == "presence":
                assert (share[words[2]] > 0) == (answer == "yes")
            elif each.type == "comparison":
                assert (share[words[3]] > share[words[5]]) == (answer == "yes")
            elif each.type == "area":
                edges = {"none": (-1, 0), "under a quarter": (0, 0.25)}
                edges |= {"a quarter to a half": (0.25, 0.5), "over a half": (0.5, 1)}
                least, most = edges[answer]
                assert least < share[words[-1]] <= most
            else:
                assert answer == max(CLASSES[1:], key=lambda name: share[name])


@pytest.mark.data
def test_the_question_alone_is_right_as_often_as_the_card_says(folder):
    assert_told_by_the_card("landcover-questions", folder)
