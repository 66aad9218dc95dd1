"""Questions and phrases about scenes of digits are true, and have one answer."""

from __future__ import annotations

import random

import pytest

from plugins.question_answering.data.asking import NAMES, Digit, phrases, questions


def digit(name: str, ink: str, x: int, y: int) -> Digit:
    """A digit of 10 x 10 pixels by its middle."""
    return Digit(name, ink, (x - 5, y - 5, x + 5, y + 5))


TWO_SIXES = (
    digit("six", "white", 10, 10),
    digit("six", "black", 80, 60),
    digit("two", "black", 45, 40),
)


def everything(scene, ask, times: int = 300) -> set:
    return {each for seed in range(times) for each in ask(random.Random(seed), scene)}


def test_all_that_can_be_asked_of_a_scene():
    asked = everything(TWO_SIXES, questions)
    told = {(each.question, each.answer) for each in asked if each.type != "exist"}
    assert told == {
        ("how many digits are there?", "3"),
        ("how many white digits are there?", "1"),
        ("how many black digits are there?", "2"),
        ("are there more white digits than black digits?", "no"),
        ("are there more black digits than white digits?", "yes"),
        ("what is the white digit?", "six"),
        ("what is the leftmost digit?", "six"),
        ("what is the rightmost digit?", "six"),
        ("what is the topmost digit?", "six"),
        ("what is the lowest digit?", "six"),
        ("what digit is left of the two?", "six"),
        ("what digit is right of the two?", "six"),
        ("what digit is above the two?", "six"),
        ("what digit is below the two?", "six"),
    }
    exist = {each for each in asked if each.type == "exist"}
    yes = {each.question for each in exist if each.answer == "yes"}
    assert yes == {
        "is there a six?", "is there a two?",
        "is there a white six?", "is there a black six?", "is there a black two?",
    }  # fmt: skip
    no = {each.question for each in exist if each.answer == "no"}
    absent = [name for name in NAMES if name not in ("six", "two")]
    assert no == {
        *(f"is there {'an' if name == 'eight' else 'a'} {name}?" for name in absent),
        "is there a white two?",
    }
    named = {each.question: each.named for each in exist}
    assert named["is there a six?"] == TWO_SIXES[:2]
    assert named["is there a black six?"] == TWO_SIXES[1:2]
    assert named["is there a white two?"] == ()


def test_a_scene_gets_two_questions_of_exist_and_one_or_two_of_the_others():
    types = [each.type for each in questions(random.Random(0), TWO_SIXES)]
    assert types == ["exist", "exist", "count", "compare", "query", "query"]


def test_places_are_compared_both_ways():
    scene = (digit("one", "white", 10, 50), digit("two", "white", 50, 52), *TWO_SIXES[:1])
    asked = {
        (each.question, each.answer)
        for each in everything(scene, questions)
        if each.type == "compare" and "more" not in each.question
    }
    sides = [(q, a) for q, a in asked if "one" in q and "two" in q]
    # Two pixels of height are too few to ask which is above.
    assert sorted(sides) == [
        ("is the one left of the two?", "yes"),
        ("is the one right of the two?", "no"),
        ("is the two left of the one?", "no"),
        ("is the two right of the one?", "yes"),
    ]


def test_phrases_name_one_digit_each():
    named = {(each.phrase, each.type, each.digit) for each in everything(TWO_SIXES, phrases)}
    white, black, two = TWO_SIXES
    assert named == {
        ("the two", "unique", two),
        ("the white six", "colour", white),
        ("the black six", "colour", black),
        ("the six left of the two", "relation", white),
        ("the six above the two", "relation", white),
        ("the six right of the two", "relation", black),
        ("the six below the two", "relation", black),
    }


def test_a_digit_that_no_phrase_tells_apart_has_none():
    twins = (digit("six", "white", 20, 20), digit("six", "white", 23, 50))
    anchor = digit("two", "black", 60, 35)
    named = everything((*twins, anchor), phrases)
    assert {each.phrase for each in named} == {
        "the two",
        "the six above the two",
        "the six below the two",
    }
    assert {each.phrase for each in everything((*twins, anchor._replace(box=(58, 65, 68, 75))),
                                               phrases)} == {"the two"}  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_what_is_asked_of_random_scenes_is_true(seed):
    """Against answers that are worked out anew from middles, for questions about places."""
    rng = random.Random(seed)
    names = rng.sample(NAMES, 4)
    scene = [
        digit(name, rng.choice(("white", "black")), rng.randint(5, 90), rng.randint(5, 90))
        for name in (*names, names[0])
    ]
    middle = {d.name: (d.box[0] + 5, d.box[1] + 5) for d in scene if d.name != names[0]}
    sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}
    for each in everything(scene, questions, 50):
        words = each.question.removesuffix("?")
        for relation, (axis, way) in sign.items():
            if each.type == "compare" and relation in words:
                one, other = words.removeprefix("is the ").split(f" {relation} the ")
                distance = way * (middle[one][axis] - middle[other][axis])
                assert (each.answer == "yes") == (distance > 0), each
                assert abs(distance) >= 6
            elif each.type == "query" and relation in words:
                anchor = middle[words.split(" the ")[1]][axis]
                there = [
                    d.name
                    for d in scene
                    if way * ((d.box[axis] + d.box[axis + 2]) / 2 - anchor) > 0
                ]
                assert there == [each.answer], each
