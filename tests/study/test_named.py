"""Any part of an id names a run; an end of it comes before its middle."""

from __future__ import annotations

import pytest

from study.errors import StudyError
from study.runs.named import named, the_one

IDS = [
    "translation-software-en-de-0010-encoder-s1-5d0b0079bf7de5d9",
    "translation-software-en-de-0010-encoder-s10-fa864d839fbcb2af",
    "translation-software-en-de-1111-encoder-s1-93813fd0de3160dc",
]


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("5d0b", [0]),  # the beginning of a hash
        ("b2af", [1]),
        ("0010-encoder-s1-", [0]),
        ("1111", [2]),
        ("encoder", [0, 1, 2]),
        ("translation", [0, 1, 2]),
        ("detection", []),
        ("", []),
    ],
)
def test_a_part_of_an_id_names_it(name, places):
    assert named(IDS, name) == [IDS[place] for place in places]


def test_a_whole_id_is_not_the_beginning_of_another():
    assert named(["a", "ab"], "a") == ["a"]


def test_an_end_comes_before_the_middle():
    assert named(["x-ab", "ab-x", "y-ab-y"], "ab") == ["x-ab", "ab-x"]


def test_of_many_that_match_ten_are_listed_and_the_rest_counted():
    ids = [f"toy-{number:02}" for number in range(13)]
    with pytest.raises(StudyError) as error:
        the_one(ids, "toy", "here")
    assert str(error.value).count("toy-") == 10
    assert "13 runs match" in str(error.value)
    assert "and 3 more" in str(error.value)


def test_the_three_nearest_are_offered_for_a_name_that_no_run_has():
    with pytest.raises(StudyError) as error:
        the_one([*IDS, "x"], "translation-software-en-de-0110-encoder-s1", "results/runs")
    assert "no run" in str(error.value)
    assert str(error.value).count("\n  translation") == 3
