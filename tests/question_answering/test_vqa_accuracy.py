"""VQA accuracy is the official one, with its quirks (vqaEval.py of GT-Vision-Lab/VQA, read)."""

from __future__ import annotations

import pytest

from plugins.question_answering.metrics.normalisation import normalised, stripped
from plugins.question_answering.metrics.vqa import (
    Judged,
    VqaAccuracy,
    consensus,
    vqa_accuracy,
)

OFFICIAL = {
    "A Cat.": "cat",
    "1,000": "1000",
    "yes/no": "yes no",
    "3.": "3",
    ".5": ".5",
    "a.b.c": "abc",
    "two-three": "2 3",
    "T-shirt": "t shirt",
    "none": "0",
    "dont": "don't",
}
"""What the official code made of these answers when it was run."""


@pytest.mark.parametrize("answer", OFFICIAL)
def test_an_answer_is_normalised_as_officially(answer):
    assert normalised(answer) == OFFICIAL[answer]


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("red, white", "red white"),  # beside a space it goes
        ("red,white", "red white"),  # elsewhere it becomes one
        ("t-shirt -blue", "tshirt blue"),  # all go if one of them is beside a space
        ("red/blue 1,000", "redblue 1000"),  # or if there are thousands
        ("1,b", "1 b"),
        ("it's", "it's"),
        ("somebody'd", "somebodyd"),  # the wrong way round, as there
        ("couldnt've", "couldn't've"),
        ("couldn'tve", "couldn't've"),
        ("y'alld've", "y'all'd've"),
        ("Im here", "im here"),  # is listed in capitals, which are gone by then
        ("The THE the", ""),
        ("Ten", "10"),
        ("eleven", "eleven"),
        ("3.5.", "3.5"),
        ("no\tway\n", "no way"),
        ("." * 40, "." * 8),  # a flag of 32 stands where the count of replacements belongs
    ],
)
def test_the_quirks_are_kept(answer, expected):
    assert normalised(answer) == expected


@pytest.mark.parametrize(("matches", "score"), enumerate([0, 0.3, 0.6, 0.9, *[1] * 7]))
def test_each_of_ten_is_left_out_in_turn(matches, score):
    """min(1, n / 3) would say 1 of three matches already."""
    answers = ["yes"] * matches + [f"other {number}" for number in range(10 - matches)]
    assert consensus("yes", answers) == pytest.approx(score)


def test_answers_that_agree_are_compared_to_the_letter():
    assert consensus("cat", ["the cat"] * 10) == 0
    assert consensus("the cat", ["the cat"] * 10) == 1
    assert consensus("The cat", ["the cat"] * 10) == 0
    assert consensus(" the cat\n", ["the cat"] * 9 + ["the cat "]) == 1  # breaks never count
    assert consensus("cat", ["the cat"] * 9 + ["The cat"]) == 1  # these do not agree


def test_a_comma_of_thousands_is_read_in_people_and_prediction_alike():
    assert consensus("1000", ["1,000"] * 4 + ["100"] * 6) == 1


def test_two_questions_that_another_rule_gets_wrong():
    """An unanimous "the cat" and three of ten: officially 45 %, by min(1, n / 3) 100 %."""
    judged = [
        Judged("cat", ["the cat"] * 10, "what is", "other"),
        Judged("2", ["2"] * 3 + ["3"] * 7, "how many", "number"),
    ]
    assert vqa_accuracy(judged).overall == 45


def test_accuracy_has_two_decimals_and_both_types():
    judged = [
        Judged("yes", ["yes"] * 9 + ["no"], "is the", "yes/no"),
        Judged("no", ["yes"] * 9 + ["no"], "is the", "yes/no"),
        Judged("red", ["red"] * 1 + ["blue"] * 9, "what color", "other"),
    ]
    assert vqa_accuracy(judged) == VqaAccuracy(
        overall=53.33,
        by_question_type={"is the": 65.0, "what color": 30.0},
        by_answer_type={"yes/no": 65.0, "other": 30.0},
    )


def test_nothing_to_judge_is_refused():
    with pytest.raises(ValueError, match="at least one question"):
        vqa_accuracy([])
    with pytest.raises(ValueError, match="nobody answered a question of type 'what'"):
        vqa_accuracy([Judged("a", [], "what", "other")])


def test_normalising_again_changes_nothing_of_a_plain_answer():
    for answer in ("cat", "2", "yes", "don't", stripped(" on the left ")):
        once = normalised(answer)
        assert normalised(once) == once
