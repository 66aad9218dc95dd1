"""VQA accuracy: how well an answer agrees with those of ten people.

Antol et al., VQA, 2015, as the official ``vqaEval.py`` computes it
(https://github.com/GT-Vision-Lab/VQA). Each of the ten is left out in turn; an answer that three of
the other nine gave is right. So none to four and more matches score 0, .3, .6, .9 and 1.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from plugins.question_answering.metrics.normalisation import normalised, stripped

__all__ = ["Judged", "VqaAccuracy", "agreement", "as_compared", "consensus", "vqa_accuracy"]

ENOUGH = 3
DECIMALS = 2


class Judged(NamedTuple):
    """A question's predicted answer, the answers of people, and its two types."""

    predicted: str
    answers: Sequence[str]
    question_type: str
    answer_type: str


class VqaAccuracy(NamedTuple):
    """Accuracy in percent with two decimals, of all questions and of those of each type."""

    overall: float
    by_question_type: dict[str, float]
    by_answer_type: dict[str, float]


def as_compared(predicted: str, answers: Sequence[str]) -> tuple[str, list[str]]:
    """Return a prediction and the answers of people as they are compared.

    All are normalised unless people agree to the letter: if all say "the cat", "cat" is wrong.
    """
    given = [stripped(answer) for answer in answers]
    if len(set(given)) > 1:
        return normalised(predicted), [normalised(answer) for answer in given]
    return stripped(predicted), given


def consensus(predicted: str, answers: Sequence[str]) -> float:
    """Return the accuracy of one answer, from 0 to 1."""
    return agreement(*as_compared(predicted, answers))


def agreement(said: str, given: Sequence[str]) -> float:
    """Return the accuracy of one answer, from 0 to 1; all are as they are compared."""
    matches = given.count(said)
    scores = [min(1.0, (matches - (answer == said)) / ENOUGH) for answer in given]
    return sum(scores) / len(scores)


def vqa_accuracy(judged: Iterable[Judged]) -> VqaAccuracy:
    """Return the accuracy of predictions.

    Raises
    ------
    ValueError
        If there are none, or a question has no answer.
    """
    scores: list[float] = []
    by_question: defaultdict[str, list[float]] = defaultdict(list)
    by_answer: defaultdict[str, list[float]] = defaultdict(list)
    for each in judged:
        if not each.answers:
            raise ValueError(f"nobody answered a question of type {each.question_type!r}")
        score = consensus(each.predicted, each.answers)
        scores.append(score)
        by_question[each.question_type].append(score)
        by_answer[each.answer_type].append(score)
    if not scores:
        raise ValueError("VQA accuracy needs at least one question")
    return VqaAccuracy(
        _percent(scores),
        {name: _percent(found) for name, found in by_question.items()},
        {name: _percent(found) for name, found in by_answer.items()},
    )


def _percent(scores: Sequence[float]) -> float:
    return round(100 * sum(scores) / len(scores), DECIMALS)
