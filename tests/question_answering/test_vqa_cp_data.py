"""A copy of VQA-CP v2, bare lists without a validation split, gets one that shares no image."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from coco_copy import IMAGES, alter, features, pair, photos

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.copies import vqa_cp
from plugins.question_answering.data.layout import read_questions
from study import data


@pytest.fixture
def copy(tmp_path) -> Path:
    """Both parts ask about images of both folders of COCO, as in the set."""
    top = tmp_path / "cp"
    photos(top)
    both = [pair(split, images) for split, images in IMAGES.items()]
    for kind, lists in zip(("questions", "annotations"), zip(*both, strict=True), strict=True):
        entries = [entry for each in lists for entry in each]
        for part, rests in (("train", (0, 1, 2)), ("test", (3,))):
            # Two entries an image; every fourth image is of test.
            chosen = [each for at, each in enumerate(entries) if at // 2 % 4 in rests]
            (top / f"vqacp_v2_{part}_{kind}.json").write_text(json.dumps(chosen))
    return top


def prepared(copy: Path, out: Path, subset: bool = True) -> dict:
    out.mkdir()
    return vqa_cp.prepare(copy, out, lambda doing: None, subset)


def test_part_of_train_is_held_out_by_image(copy, tmp_path):
    out = tmp_path / "out"
    counts = prepared(copy, out)
    assert counts["items"] == {"train": 66, "val": 4, "test": 22}
    images = {split: {q.image for q in read_questions(out, split)} for split in counts["items"]}
    assert not images["train"] & images["val"]
    assert all((out / image).resolve().is_file() for each in images.values() for image in each)
    for split in ("train", "test"):
        assert {image.split("/")[1] for image in images[split]} == {"train2014", "val2014"}
    assert counts["upper_bound"].keys() == counts["question_only"].keys() == {"val", "test"}


def test_the_same_images_are_held_out_each_time(copy, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    for out in (first, second):
        prepared(copy, out)
    assert read_questions(first, "val") == read_questions(second, "val")


def test_the_card_says_that_the_split_is_ours(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "data"))
    data.prepare_from("vqa-cp", copy, subset=True)
    card = data.card("vqa-cp")
    assert card["line"].endswith("66/4/22 questions; not comparable with VQA-CP v2")
    assert any("no validation split: val is 5% of the images of train" in n for n in card["notes"])
    assert vqa_cp.CARD.line(()).endswith("; published test, val held out of train")
    assert data.looks_like_copy("vqa-cp", copy)
    assert not data.looks_like_copy("vqa2", copy)


def test_features_are_linked_and_counted_of_all_parts(copy, tmp_path):
    features(copy)
    counts = prepared(copy, tmp_path / "out")
    assert counts["features"] == {"images": 46, "of": 46, "width": 4}
    assert (tmp_path / "out/features").resolve() == copy / "features"


def test_published_numbers_add_up_to_those_of_vqa2():
    from plugins.question_answering.data.copies import vqa2

    assert sum(vqa_cp.OFFICIAL.values()) == sum(vqa2.OFFICIAL.values())


def test_a_part_is_refused_unless_it_is_meant(copy, tmp_path):
    with pytest.raises(PrepareError, match="70 train questions, not 438183; 22 test questions, no"):
        prepared(copy, tmp_path / "out", subset=False)


def first_version(copy: Path) -> None:
    path = copy / "vqacp_v2_train_questions.json"
    path.rename(copy / "vqacp_v1_train_questions.json")


def elsewhere(entries) -> None:
    entries[0]["coco_split"] = "test2015"


MISTAKES = {
    "version 1": (first_version, r"vqacp_v1_train_questions.json is of VQA-CP v1"),
    "an object": (
        alter("vqacp_v2_test_annotations.json", lambda entries: {"annotations": entries}),
        r"is an object with annotations, as files of VQA v2 are; those of VQA-CP are bare lists",
    ),
    "no entries": (
        alter("vqacp_v2_train_questions.json", lambda entries: ["what?"]),
        r"vqacp_v2_train_questions.json has no list of entries",
    ),
    "another split of COCO": (
        alter("vqacp_v2_train_questions.json", elsewhere),
        r"coco_split is 'test2015', not train2014 or val2014",
    ),
    "no images": (
        lambda copy: (copy / "val2014").rename(copy / "other"),
        r"cp has no val2014; VQA-CP v2 is at",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_usual_mistake_is_told(copy, tmp_path, mistake):
    spoil, message = MISTAKES[mistake]
    spoil(copy)
    with pytest.raises(PrepareError, match=message):
        prepared(copy, tmp_path / "out")
