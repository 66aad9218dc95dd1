"""The metrics of a training, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from plugins.question_answering.data.answers import score, targets, upper_bound
from plugins.question_answering.data.layout import write_questions
from plugins.question_answering.data.rows import Question
from plugins.question_answering.evaluator import Answers
from plugins.question_answering.task import QuestionAnswering

TRAIN = [
    Question("a", "is there a red square?", ("yes",), "exist"),
    Question("a", "how many?", ("2",), "compare integer"),
    Question("a", "how many?", ("1",), "compare integer"),
    Question("a", "how many?", ("1",), "compare integer"),
]
VAL = [
    Question("b", "is there a red square?", ("yes",), "exist", boxes=((0, 0, 4, 4),)),
    Question("b", "is there a blue square?", ("no",), "exist"),
    Question("b", "how many?", ("2",), "compare integer", boxes=((4, 4, 4, 4),)),
    Question("c", "how many?", ("7",), "compare integer"),
]
KNOWN = ("1", "2", "yes")
LEFT_TOP, RIGHT_BOTTOM = [(0.0, 0.0, 0.5, 0.5)], [(0.5, 0.5, 1.0, 1.0)]


@pytest.fixture
def metric(tmp_path):
    write_questions(tmp_path, {"train": TRAIN, "val": VAL})
    made = Answers(str(tmp_path), "val", (2, 2))
    made.dataset_meta = {"classes": KNOWN}
    return made


def found(metric, *samples):
    """Return the metrics of questions in another order than that of the file."""
    boxes = [LEFT_TOP, [], RIGHT_BOTTOM, []]
    for number, sample in reversed([*enumerate(samples)]):
        of_question = torch.tensor(boxes[number]).reshape(-1, 4)
        metric.process(None, [{"number": number, "boxes": of_question, **sample}])
    return metric.compute_metrics(metric.results)


def said(*answers):
    return [{"predicted": torch.tensor(float(answer))} for answer in answers]


def test_accuracy_of_all_and_by_type_and_its_bounds(metric):
    values = found(metric, *said(2, 2, 0, 0))
    assert values == {
        "accuracy": 0.25,
        "accuracy_exist": 0.5,
        "accuracy_compare_integer": 0.0,
        "majority": 0.0,  # 1
        "question_only": 0.25,
        "upper_bound": 0.5,  # nothing in train is answered no or 7
    }


def test_items_give_the_accuracy_of_every_sample(metric):
    values = found(metric, *said(2, 2, 1, 0))
    items = metric.items
    assert items["item"].tolist() == [0, 1, 2, 3]
    assert items["types"][items["type"]].tolist() == [each.type for each in VAL]
    samples = np.array([[1, 1, 1, 1], [2, 1, 0, 0], [0, 0, 0, 0]])
    of_samples = QuestionAnswering().value_of_items(items, samples)
    np.testing.assert_allclose(of_samples, [values["accuracy"], 2 / 3, np.nan])


def test_ten_people_are_right_as_far_as_they_agree(tmp_path):
    people = Question("b", "what?", ("cat",) * 2 + ("dog",) * 8, "what is", answer_type="other")
    write_questions(tmp_path, {"train": [people], "val": [people, people]})
    metric = Answers(str(tmp_path), "val", (2, 2))
    metric.dataset_meta = {"classes": ("dog", "cat")}
    for number, answer in enumerate(said(0, 1)):
        metric.process(None, [{"number": number, "boxes": torch.zeros(0, 4), **answer}])
    values = metric.compute_metrics(metric.results)
    assert values["accuracy"] == pytest.approx(0.8)
    assert metric.items["tenths"].tolist() == [10, 6]


def test_pointing_is_of_the_best_head_and_entropy_of_each(metric):
    even, first, last = [0.25] * 4, [0.7, 0.1, 0.1, 0.1], [0.0, 0.0, 0.0, 1.0]
    heads = [[even, first], [even, even], [first, last], [even, even]]
    samples = [
        {**answer, "weights": torch.tensor(each)[:, None]}
        for answer, each in zip(said(2, 2, 0, 0), heads, strict=True)
    ]
    values = found(metric, *samples)
    # The first head takes the first of equal cells, which is right once.
    assert values["pointing"] == 1.0
    assert values["pointing_exist"] == values["pointing_compare_integer"] == 1.0
    assert values["pointing_chance"] == 0.25
    uneven = -(0.7 * math.log(0.7) + 0.3 * math.log(0.1))
    assert values["entropy_1"] == pytest.approx((3 * math.log(4) + uneven) / 4)
    assert values["entropy_2"] == pytest.approx((2 * math.log(4) + uneven) / 4)


def test_pairs_point_by_the_sum_over_the_words_and_have_an_entropy_of_all(metric):
    pairs = torch.tensor([[[0.3, 0.2, 0.0, 0.0], [0.0, 0.2, 0.3, 0.0]]])  # one glimpse, two words
    values = found(metric, *({**answer, "weights": pairs} for answer in said(2, 2, 0, 0)))
    assert values["pointing"] == 0.0  # the second of four cells, where neither word looks most
    entropy = -(0.6 * math.log(0.3) + 0.4 * math.log(0.2))
    assert values["entropy_1"] == pytest.approx(entropy)


def test_the_first_glimpses_have_their_accuracy(metric):
    firsts = [[1, 0], [2, 2], [1, 1], [0, 1]]
    answers = zip(said(2, 2, 0, 0), firsts, strict=True)
    values = found(metric, *({**answer, "by_first": torch.tensor(one)} for answer, one in answers))
    assert values["accuracy"] == 0.25
    assert (values["accuracy_first_1"], values["accuracy_first_2"]) == (0.25, 0.25)
    assert "accuracy_first_3" not in values


@pytest.mark.parametrize(
    ("name", "point"),
    [("accuracy_exist", 0.01), ("accuracy_first_1", 0.01), ("pointing_query", 0.01),
     ("entropy_1", 1.0), ("pointing_chance", 0.01)],
)  # fmt: skip
def test_metrics_by_type_are_written_as_the_whole(name, point):
    metric = QuestionAnswering().metric(name)
    assert (metric.name, metric.point) == (name, point)
    assert metric.of_data == (name == "pointing_chance")


def test_hard_attention_points_by_presence_and_tells_how_many_it_keeps(metric):
    samples = [
        {**answer, "presence": torch.tensor([0.0, 3.0, 2.0, 1.0]), "mask": torch.tensor(mask),
         "macs_kept": torch.tensor(100.0 * sum(mask))}
        for answer, mask in zip(
            said(2, 2, 0, 0), [[0.0, 1.0, 0.0, 0.0]] * 3 + [[1.0, 1.0, 1.0, 0.0]], strict=True
        )
    ]  # fmt: skip
    values = found(metric, *samples)
    assert values["pointing"] == 0.0
    assert values["cells_kept"] == 1.5
    assert values["macs_kept"] == 150
    assert not any(name.startswith("entropy") for name in values)


@pytest.mark.parametrize(
    "answers",
    [
        ["cat"] * 9 + ["a cat"],
        ["the cat"] * 10,
        ["the cat"] * 10 + [" the cat "],
        ["yes", "no"] * 5,
        ["2", "two"] * 5,
        ["dog"] * 10,
        ["dog"],
    ],
)
def test_the_bound_and_the_targets_are_the_best_and_all_scores_of_known_answers(answers):
    vocabulary = ("the cat", "cat", "two", "2", "yes", "a dog")
    question = Question("i.png", "what?", tuple(answers), "t")
    scores = [score(each, answers) for each in vocabulary]
    assert upper_bound(vocabulary, [question]) == pytest.approx(max(scores))
    (rights,) = targets(vocabulary, [question])
    found = [0.0] * len(vocabulary)
    for number, right in rights:
        found[number] = right
    assert found == pytest.approx(scores)
