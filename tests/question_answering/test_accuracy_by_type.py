"""Right or wrong answers are counted by the type of the question; CLEVR's by its program."""

from __future__ import annotations

import pytest

from plugins.question_answering.metrics.clevr import question_type
from plugins.question_answering.metrics.exact import accuracy


def program(*functions: str, key: str = "function") -> list[dict]:
    return [{key: each, "inputs": [], "value_inputs": []} for each in functions]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ("exist", "exist"),
        ("count", "count"),
        ("less_than", "compare integer"),
        ("greater_than", "compare integer"),
        ("equal_integer", "compare integer"),
        ("equal_material", "compare attribute"),
        ("equal_color", "compare attribute"),
        ("query_shape", "query attribute"),
        ("query_size", "query attribute"),
    ],
)
def test_the_last_function_is_the_type(last, expected):
    before = ("scene", "filter_color", "unique", "count", "exist")
    assert question_type(program(*before, last)) == expected
    assert question_type(program(*before, last, key="type")) == expected


@pytest.mark.parametrize("functions", [(), ("exist", "unique"), ("count", "scene")])
def test_another_end_is_no_question(functions):
    with pytest.raises(
        ValueError, match=r"the program ends with .*, not with one of count, equal_"
    ):
        question_type(program(*functions))


def test_accuracy_is_of_all_and_of_each_type():
    found = accuracy(
        ["yes", "3", "no", "red", "2"],
        ["yes", "2", "no", "red", "2"],
        ["exist", "count", "exist", "query", "count"],
    )
    assert found.overall == 0.8
    assert found.by_type == {"exist": 1, "count": 0.5, "query": 1}


def test_what_does_not_match_in_number_is_refused():
    with pytest.raises(ValueError, match="2 predictions, 1 answers and 1 types"):
        accuracy(["a", "b"], ["a"], ["exist"])
    with pytest.raises(ValueError, match="at least one"):
        accuracy([], [], [])
