"""A copy of CLEVR is checked and linked; types are those of the programs."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from coco_copy import alter
from PIL import Image

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.copies import clevr
from plugins.question_answering.data.layout import read_questions
from study import data

TRAIN = "questions/CLEVR_train_questions.json"
ASKED = {
    "exist": ("Is there a red cube?", "yes"),
    "count": ("How many spheres are there?", "2"),
    "less_than": ("Are there fewer cubes than spheres?", "no"),
    "equal_size": ("Is the cube as large as the sphere?", "yes"),
    "query_color": ("What color is the cube?", "red"),
}


@pytest.fixture
def copy(tmp_path) -> Path:
    top = tmp_path / "sets" / "CLEVR_v1.0"
    (top / "questions").mkdir(parents=True)
    for split, number in (("train", 3), ("val", 2), ("test", 1)):
        (top / "images" / split).mkdir(parents=True)
        entries = []
        for image in range(number):
            name = f"CLEVR_{split}_{image:06d}.png"
            Image.fromarray(np.zeros((8, 12, 3), np.uint8)).save(top / "images" / split / name)
            for function, (question, answer) in ASKED.items():
                entry = {
                    "split": split,
                    "image_index": image,
                    "image_filename": name,
                    "question": question,
                    "question_index": len(entries),
                }
                if split != "test":
                    program = [{"function": each, "inputs": []} for each in ("scene", function)]
                    entry |= {"answer": answer, "program": program}
                entries.append(entry)
        content = {"info": {"version": "1.0"}, "questions": entries}
        (top / f"questions/CLEVR_{split}_questions.json").write_text(json.dumps(content))
    return top


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    return clevr.prepare(copy, out, lambda doing: None, subset)


@pytest.mark.parametrize("above", [False, True])
def test_questions_get_their_types_and_images_are_linked(copy, tmp_path, above):
    out = tmp_path / "out"
    counts = prepared(copy.parent if above else copy, out)
    assert counts["items"] == {"train": 15, "val": 10}
    questions = read_questions(out, "val")
    assert Counter(each.type for each in questions) == {
        "exist": 2,
        "count": 2,
        "compare integer": 2,
        "compare attribute": 2,
        "query attribute": 2,
    }
    assert {each.answers for each in questions} == {(answer,) for _, answer in ASKED.values()}
    for each in questions:
        assert (out / each.image).resolve().is_relative_to(copy / "images" / "val")
    assert not (out / "images" / "test").exists()


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path, monkeypatch):
    with pytest.raises(PrepareError, match=r"15 train questions, not 699989; 10 val questions"):
        prepared(copy, tmp_path / "out", subset=False)
    monkeypatch.setattr(clevr, "OFFICIAL", {"train questions": 15, "val questions": 10})
    assert prepared(copy, tmp_path / "whole", subset=False)["official"]


def test_study_prepares_it(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    assert data.looks_like_copy("clevr", copy.parent)
    assert not data.looks_like_copy("clevr", tmp_path)
    data.prepare_from("clevr", copy, subset=True)
    assert data.card("clevr")["line"] == (
        "part of CLEVR v1.0 (CC BY 4.0), 15/10 questions; not comparable with CLEVR v1.0"
    )


def another_set(copy: Path) -> None:
    (copy / "images" / "train").rename(copy / "images" / "trainA")


def without_answers(copy: Path) -> None:
    shutil.copy(copy / TRAIN.replace("train", "test"), copy / TRAIN.replace("train", "val"))


def no_program(content) -> None:
    content["questions"][2]["program"] = []


def no_name(content) -> None:
    del content["questions"][2]["image_filename"]


MISTAKES = {
    "no folder": (shutil.rmtree, "CLEVR_v1.0 does not exist; CLEVR is at https://"),
    "another set": (another_set, "images/train is missing: this is CLEVR-CoGenT, another set"),
    "no images": (
        lambda copy: shutil.rmtree(copy / "images"),
        "images/train is missing: this is CLEVR_v1.0_no_images.zip",
    ),
    "an image is missing": (
        lambda copy: (copy / "images/val/CLEVR_val_000001.png").unlink(),
        r"images/val lacks images that are asked about: 1 \(CLEVR_val_000001.png\)",
    ),
    "answers of test": (without_answers, "question 0 has no answer; those of test are not public"),
    "a program without an end": (
        alter(TRAIN, no_program),
        "question 2 is none of CLEVR .the program ends with None",
    ),
    "no image": (alter(TRAIN, no_name), "question 2 is none of CLEVR .'image_filename'"),
    "another content": (alter(TRAIN, lambda content: []), "has no list 'questions'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")
