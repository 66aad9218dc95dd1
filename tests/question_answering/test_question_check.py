"""What is found in a set before a training on questions."""

from __future__ import annotations

import json
import shutil

import coloured_squares as squares
import pytest
from PIL import Image

from plugins.contracts.dataset import PrepareError
from plugins.question_answering.data.check import check
from plugins.question_answering.data.layout import read_questions, write_questions
from plugins.question_answering.data.rows import Question


@pytest.fixture
def data(tmp_path):
    return squares.make(tmp_path)


def checked(folder, whole=True):
    return check(folder, whole, lambda doing: None)


def write(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_a_whole_set_is_counted(data):
    found = checked(data)
    assert found.notes == ()
    assert found.counts == {
        "questions": {"train": {"count": 12, "exist": 36}, "val": {"count": 6, "exist": 18}},
        "words": 10,
        "answers": 4,
        "longest": 5,
        "names": {"colour": 3},
    }


def test_a_set_of_phrases_alone_is_counted_and_what_it_lacks_is_told(data):
    shutil.rmtree(data / "questions")
    found = checked(data)
    assert found.counts["sentences"] == {"train": 12, "val": 6}
    assert sum(found.counts["phrases"]["train"].values()) == 18
    assert (found.counts["words"], found.counts["longest"]) == (6, 7)
    assert found.notes == ()
    shutil.rmtree(data / "objects")
    assert "goal ground needs one of them" in checked(data).notes[0]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"boxes": []}, r"val.jsonl, line 1: the phrase lacks a box"),
        ({"image": "images/val/none.png"}, r"lacks what phrases of val are about: .*none"),
    ],
)
def test_a_phrase_that_cannot_be_learnt_is_named(data, entry, message):
    shutil.rmtree(data / "questions")
    first, *others = (data / "phrases/val.jsonl").read_text().splitlines()
    write(data / "phrases/val.jsonl", {**json.loads(first), **entry}, *map(json.loads, others))
    with pytest.raises(PrepareError, match=message):
        checked(data)


def test_words_that_only_val_has_are_told(data):
    rows = [json.loads(line) for line in (data / "questions/val.jsonl").read_text().splitlines()]
    rows[0]["question"] = "is there a purple square?"
    write(data / "questions/val.jsonl", *rows)
    assert checked(data).notes == ("val has words that train does not have: 1 (purple)",)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"question": "?"}, r"val.jsonl, line 1: the question lacks words"),
        ({"answers": []}, r"val.jsonl, line 1: the question lacks an answer"),
        ({"image": "images/val/none.png"}, r"val.jsonl asks about images that .* lacks: .*none"),
        ({"boxes": [[30, 0, 4, 4]]}, r"val.jsonl, line 1: the box \[30, 0, 4, 4\] .* 32 x 32"),
        ({"colour": "red"}, r"val.jsonl, line 1: .*colour is none of its fields"),
    ],
)
def test_a_question_that_cannot_be_read_is_named(data, entry, message):
    first, *others = (data / "questions/val.jsonl").read_text().splitlines()
    write(data / "questions/val.jsonl", {**json.loads(first), **entry}, *map(json.loads, others))
    with pytest.raises(PrepareError, match=message):
        checked(data)


def test_no_question_of_a_split_is_refused(data):
    (data / "questions/val.jsonl").write_text("")
    with pytest.raises(PrepareError, match=r"val\.jsonl has no question"):
        checked(data)


def test_a_last_line_without_its_newline_is_read(data):
    path = data / "questions/val.jsonl"
    whole = read_questions(data, "val")
    path.write_text(path.read_text().removesuffix("\n"))
    assert read_questions(data, "val") == whole


def test_a_cut_image_is_refused(data):
    image = data / "images/val/0.png"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(PrepareError, match=r"0\.png cannot be read as an image"):
        checked(data)


def test_answers_of_other_questions_are_refused(data):
    (data / "answers.json").write_text('{"yes": 3}')
    with pytest.raises(PrepareError, match=r"answers\.json does not have the answers of"):
        checked(data)


def test_objects_that_do_not_say_all_are_refused(data):
    first, *_ = (data / "objects/train.jsonl").read_text().splitlines()
    (data / "objects/train.jsonl").write_text(first + "\n")
    with pytest.raises(PrepareError, match=r"train\.jsonl lacks 11 \(images/train/1\.png"):
        checked(data)
    (data / "objects/train.jsonl").write_text('{"image": "a", "objects": [{"colour": "red"}]}\n')
    with pytest.raises(PrepareError, match=r"train\.jsonl, line 1: no objects of an image"):
        checked(data)


def test_a_set_without_objects_trains_without_visual_epochs(tmp_path):
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8)).save(tmp_path / "images/a.png")
    question = Question("images/a.png", "what?", ("black",), "query")
    write_questions(tmp_path, {"train": [question], "val": [question]})
    assert "names" not in checked(tmp_path).counts
    from plugins.question_answering.config import runner_config

    with pytest.raises(PrepareError, match="set visual_epochs to 0"):
        runner_config(squares.job(tmp_path, tmp_path / "run", batch_size=1))
    without = {"visual_epochs": 0, "frozen_visual": False, "batch_size": 1}
    runner_config(squares.job(tmp_path, tmp_path / "run", **without))
