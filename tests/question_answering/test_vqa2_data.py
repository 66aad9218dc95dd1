"""A copy of VQA v2 is checked and linked, with the answers of ten people and their upper bound."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from coco_copy import IMAGES, alter, features, pair, photos

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.copies import vqa2
from plugins.question_answering.data.layout import read_answers, read_questions
from study import data
from study.data import contents

TRAIN = "v2_OpenEnded_mscoco_train2014_questions.json"
ANSWERED = "v2_mscoco_train2014_annotations.json"


@pytest.fixture
def copy(tmp_path) -> Path:
    top = tmp_path / "vqa"
    photos(top)
    for split, images in IMAGES.items():
        questions, annotations = pair(split, images)
        for each in questions:
            del each["coco_split"]
        whole = {"info": {}, "license": {}, "data_type": "mscoco", "data_subtype": split}
        (top / f"v2_OpenEnded_mscoco_{split}_questions.json").write_text(
            json.dumps(whole | {"task_type": "Open-Ended", "questions": questions})
        )
        (top / f"v2_mscoco_{split}_annotations.json").write_text(
            json.dumps(whole | {"annotations": annotations})
        )
    return top


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    return vqa2.prepare(copy, out, lambda doing: None, subset)


def test_questions_are_joined_with_answers_and_images_are_linked(copy, tmp_path):
    out, before = tmp_path / "out", contents.fingerprint(copy, {})
    counts = prepared(copy, out)
    assert counts["items"] == {"train": 80, "val": 12}
    assert not counts["official"]
    first, second, *_ = read_questions(out, "val")
    assert first.question == "Is the sky grey?"
    assert first.answers == ("yes",) * 10
    assert (first.type, first.answer_type) == ("is the", "yes/no")
    assert second.answers.count("a Cat.") == 4
    assert first.image == "images/val2014/COCO_val2014_000000000101.jpg"
    assert (out / first.image).resolve().is_relative_to(copy / "val2014")
    assert contents.fingerprint(copy, {}) == before


def test_the_vocabulary_has_answers_as_they_are_compared(copy, tmp_path):
    counts = prepared(copy, tmp_path / "out")
    # Seven of ten say cat in one way or another; all agree on yes.
    assert read_answers(tmp_path / "out") == ["cat", "yes"]
    assert read_answers(tmp_path / "out", least=41) == []
    assert counts["upper_bound"] == {"val": 1}
    assert counts["question_only"] == {"val": 1}


def test_what_train_does_not_answer_cannot_be_reached(copy, tmp_path):
    def only_dogs(content):
        for each in content["annotations"]:
            for answer in each["answers"]:
                if each["question_type"] == "what is":
                    answer["answer"] = "dog"

    alter(ANSWERED, only_dogs)(copy)
    counts = prepared(copy, tmp_path / "out")
    # Of val three of ten say dog, which scores .9, and all say yes.
    assert counts["upper_bound"] == {"val": 0.95}


def test_files_may_lie_in_folders(copy, tmp_path):
    for folder, pattern in (("questions", "*questions*"), ("images", "*2014")):
        (copy / folder).mkdir()
        for path in list(copy.glob(pattern)):
            if path.name != folder:
                path.rename(copy / folder / path.name)
    assert prepared(copy, tmp_path / "out")["items"] == {"train": 80, "val": 12}


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path, monkeypatch):
    with pytest.raises(
        PrepareError, match=r"80 train questions, not 443757; 12 val questions, not 214354.*--subs"
    ):
        prepared(copy, tmp_path / "out", subset=False)
    monkeypatch.setattr(vqa2, "OFFICIAL", {"train questions": 80, "val questions": 12})
    assert prepared(copy, tmp_path / "whole", subset=False)["official"]


def test_study_prepares_it(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    assert data.looks_like_copy("vqa2", copy)
    assert not data.looks_like_copy("vqa2", tmp_path / "data")
    data.prepare_from("vqa2", copy, subset=True)
    card = data.card("vqa2")
    assert card["line"] == (
        "part of VQA v2 (annotations CC BY 4.0, photos of COCO under their owners' Flickr "
        "licences), 80/12 questions; not comparable with VQA v2"
    )
    assert card["links"] == {"images/train2014": 40, "images/val2014": 6}
    data.verify("vqa2")


def without_photos(copy: Path) -> None:
    for folder in IMAGES:
        shutil.rmtree(copy / folder)


def without_one(copy: Path) -> None:
    features(copy)
    (copy / "features/COCO_train2014_000000000007.npz").unlink()


def test_features_may_lie_beside_the_images_of_some(copy, tmp_path, monkeypatch):
    without_one(copy)
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    data.prepare_from("vqa2", copy, subset=True)
    card = data.card("vqa2")
    assert card["links"] == {"features": 45, "images/train2014": 40, "images/val2014": 6}
    assert card["counts"]["features"] == {"images": 45, "of": 46, "width": 4}
    assert "45 of 46 images have features of boxes, 4 to each" in card["notes"]


def test_features_may_lie_there_instead_of_images(copy, tmp_path, monkeypatch):
    features(copy)
    without_photos(copy)
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    data.prepare_from("vqa2", copy, subset=True)
    card = data.card("vqa2")
    assert card["links"] == {"features": 46}
    assert card["counts"]["questions"]["val"] == {"is the": 6, "what is": 6}
    assert "there are no images, so network features alone sees it" in card["notes"]
    data.verify("vqa2")


def lacking(copy: Path) -> None:
    without_one(copy)
    without_photos(copy)


def by_number(copy: Path) -> None:
    features(copy)
    for path in sorted((copy / "features").iterdir()):
        path.rename(path.with_stem(str(int(path.stem[-12:]))))


def of_another_size(copy: Path) -> None:
    features(copy)
    path = copy / "features/COCO_train2014_000000000001.npz"
    np.savez(path, features=np.ones((1, 4)), boxes=np.array([[0, 0, 90, 90]]))


def of_another_width(copy: Path) -> None:
    features(copy)
    path = copy / "features/COCO_train2014_000000000002.npz"
    np.savez(path, features=np.ones((1, 3)), boxes=np.array([[0, 0, 8, 8]]))


def in_half_a_copy(copy: Path) -> None:
    features(copy)
    shutil.rmtree(copy / "val2014")


def older(copy: Path) -> None:
    (copy / TRAIN).rename(copy / TRAIN.removeprefix("v2_"))


def packed(copy: Path) -> None:
    (copy / ANSWERED).rename(copy / "v2_Annotations_Train_mscoco.zip")


def of_2017(copy: Path) -> None:
    (copy / "train2014").rename(copy / "train2017")


def unlike(content) -> None:
    content["annotations"][3]["image_id"] = 7


def nine(content) -> None:
    del content["annotations"][1]["answers"][-1]


def untyped(content) -> None:
    del content["annotations"][1]["question_type"]


MISTAKES = {
    "no folder": (shutil.rmtree, r"vqa does not exist; VQA v2 is at https://"),
    "version 1": (older, r"OpenEnded_mscoco_train2014_questions.json is of VQA 1.0"),
    "packed": (packed, r"archives are not unpacked, 1 \(v2_Annotations_Train_mscoco.zip\)"),
    "COCO 2017": (of_2017, r"has no train2014: train2017 has the photos of COCO 2017"),
    "an image is missing": (
        lambda copy: (copy / "val2014" / "COCO_val2014_000000000103.jpg").unlink(),
        r"val2014 lacks images that are asked about: 1 \(COCO_val2014_000000000103.jpg\)",
    ),
    "cut": (
        lambda copy: (copy / TRAIN).write_text('{"questions": ['),
        r"train2014_questions.json is cut or no JSON",
    ),
    "questions for answers": (
        lambda copy: shutil.copy(copy / TRAIN, copy / ANSWERED),
        r"v2_mscoco_train2014_annotations.json has no 'annotations'",
    ),
    "answers of another split": (
        lambda copy: shutil.copy(copy / ANSWERED.replace("train", "val"), copy / ANSWERED),
        r"do not belong together: question_ids of one of them alone, 92 ",
    ),
    "a question twice": (
        alter(TRAIN, lambda content: content["questions"].append(content["questions"][0])),
        r"1 entries have no question_id, or that of another entry",
    ),
    "nine answers": (
        alter(ANSWERED, nine),
        r"question_id 1007 has 9 answers, not 10",
    ),
    "no type": (
        alter(ANSWERED, untyped),
        r"question_id 1007 of .* lacks something.*question_type",
    ),
    "features of some and no images": (
        lacking,
        r"lacks images that are asked about: 1 \(COCO_train2014_000000000007\); where it does, the",
    ),
    "features by number": (
        by_number,
        r"has features of no image that is asked about, but of 46 \(1, 10, .*"
        r"named as their images are, such as COCO_train2014_000000000001",
    ),
    "boxes of another size": (of_another_size, r"boxes of image COCO_.* reach .*8 x 8 pixels"),
    "features of another width": (of_another_width, r"COCO_\w+2 have width 3, others 4"),
    "features and half of the images": (in_half_a_copy, r"has no val2014"),
    "another image": (alter(ANSWERED, unlike), r"question_id 2007 is about image 2 in .*, and 7"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")
