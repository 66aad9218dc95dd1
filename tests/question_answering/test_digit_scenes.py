"""The scenes of digits are what their card says: exact, without shared parts, hard without eyes."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from question_only import assert_told_by_the_card

from plugins.question_answering.data.layout import read_answers, read_phrases, read_questions
from study import data

pytestmark = pytest.mark.data

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def folder() -> Path:
    data.prepare(["digit-scenes"])
    return data.path("digit-scenes")


def scenes(folder: Path, split: str) -> list[dict]:
    lines = (folder / "objects" / f"{split}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_the_card_counts_what_is_there(folder):
    counts = data.card("digit-scenes")["counts"]
    for split, number in zip(SPLITS, (4000, 700, 700), strict=True):
        assert len(scenes(folder, split)) == number == counts["scenes"][split]
        assert len(list((folder / "images" / split).iterdir())) == number
        assert len(read_questions(folder, split)) == counts["items"][split]
        assert len(read_phrases(folder, split)) == counts["phrases"][split]
    assert set(read_answers(folder)) == {
        "yes", "no", *"012345", "zero", "one", "two", "three", "four", "five", "six", "seven",
        "eight", "nine",
    }  # fmt: skip
    assert counts["upper_bound"] == {"val": 1, "test": 1}


def test_masks_are_the_strokes_in_the_boxes(folder):
    for scene in scenes(folder, "val")[::5]:
        image, mask = (
            np.asarray(Image.open(folder / scene[kind])).astype(int) for kind in ("image", "mask")
        )
        assert image.shape == (96, 96, 3)
        assert set(np.unique(mask)) == {*range(len(scene["objects"]) + 1)}
        for number, each in enumerate(scene["objects"], 1):
            rows, columns = np.nonzero(mask == number)
            left, top, width, height = each["box"]
            assert [columns.min(), rows.min()] == [left, top]
            assert [columns.max() + 1, rows.max() + 1] == [left + width, top + height]
            # The purest pixels are almost white, or black; of a thin stroke none is pure.
            strokes = image[mask == number].mean(1)
            extreme = strokes.max() if each["ink"] == "white" else 255 - strokes.min()
            assert extreme > 170, (scene["image"], each)


def test_digits_stand_out_from_the_ground(folder):
    """The strokes' cores differ from the pixels around, within the box and outside of the ink."""
    faint = 0
    digits = 0
    for scene in scenes(folder, "val")[::5]:
        image = np.asarray(Image.open(folder / scene["image"]).convert("L")).astype(int)
        mask = np.asarray(Image.open(folder / scene["mask"]))
        for number, each in enumerate(scene["objects"], 1):
            left, top, width, height = (int(value) for value in each["box"])
            piece = np.s_[top : top + height, left : left + width]
            ground = image[piece][mask[piece] == 0]
            ink = image[mask == number]
            core = np.quantile(ink, 0.8 if each["ink"] == "white" else 0.2)
            digits += 1
            faint += ground.size > 0 and abs(core - ground.mean()) < 60
    assert digits > 400
    assert faint < 0.05 * digits


def test_every_question_and_phrase_is_of_a_scene(folder):
    for split in SPLITS:
        by_image = {scene["image"]: scene["objects"] for scene in scenes(folder, split)}
        questions = read_questions(folder, split)
        assert {each.image for each in questions} == by_image.keys()
        for each in (*questions, *read_phrases(folder, split)):
            boxes = [tuple(thing["box"]) for thing in by_image[each.image]]
            assert set(each.boxes) <= set(boxes)
        # Two of exist, which say yes and no, of each scene.
        exist = Counter((q.image, q.answers) for q in questions if q.type == "exist")
        assert set(exist.values()) == {1}
        assert len(exist) == 2 * len(by_image)


def test_a_class_alone_does_not_find_what_phrases_of_ink_and_place_name(folder):
    """One of the digits of the named class is right half of the time, as .485 says of others."""
    by_image = {scene["image"]: scene["objects"] for scene in scenes(folder, "val")}
    chances = defaultdict(list)
    for phrase in read_phrases(folder, "val"):
        words = phrase.phrase.split()
        name = words[2 if phrase.types == ("colour",) else 1]
        alike = [thing for thing in by_image[phrase.image] if thing["class"] == name]
        assert any(tuple(thing["box"]) == phrase.boxes[0] for thing in alike)
        chances[phrase.types[0]].append(1 / len(alike))
    means = {kind: np.mean(found) for kind, found in chances.items()}
    assert means == {"unique": 1, "colour": 0.5, "relation": 0.5}


def test_the_question_alone_is_right_as_often_as_the_card_says(folder):
    assert_told_by_the_card("digit-scenes", folder)
