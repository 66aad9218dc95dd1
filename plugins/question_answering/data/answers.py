"""The answers that training knows, and what can be reached with them.

A question has one right answer, or those of ten people, which are scored as VQA does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from plugins.question_answering.metrics.normalisation import normalised, stripped
from plugins.question_answering.metrics.vqa import agreement, as_compared, consensus

if TYPE_CHECKING:
    from plugins.question_answering.data.rows import Question

__all__ = ["answer_counts", "majority", "question_only", "score", "targets", "upper_bound"]


def score(predicted: str, answers: Sequence[str]) -> float:
    """Return how right an answer is, from 0 to 1."""
    return float(predicted == answers[0]) if len(answers) == 1 else consensus(predicted, answers)


def answer_counts(questions: Iterable[Question]) -> dict[str, int]:
    """Return how many questions each answer answers best, the most frequent first.

    Of ten answers the one that most people gave counts, as it is compared; of those given equally
    often, the first.
    """
    counts = Counter(_best(question.answers) for question in questions)
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def targets(known: Sequence[str], questions: Iterable[Question]) -> list[list[tuple[int, float]]]:
    """Return of each question which of the known answers are right, by number, and how right."""
    alike: defaultdict[str, list[int]] = defaultdict(list)
    for number, answer in enumerate(known):
        alike[normalised(answer)].append(number)

    def right(answers: Sequence[str]) -> list[tuple[int, float]]:
        # What is another answer when normalised agrees with nobody.
        given = {normalised(answer) for answer in answers}
        numbers = sorted(number for each in given for number in alike.get(each, ()))
        scores = [(number, score(known[number], answers)) for number in numbers]
        return [(number, value) for number, value in scores if value]

    return [right(question.answers) for question in questions]


def upper_bound(vocabulary: Iterable[str], questions: Sequence[Question]) -> float:
    """Return the mean score of the best answer in `vocabulary` to each question."""
    exact = frozenset(vocabulary)
    bare, plain = (frozenset(map(made, exact)) for made in (stripped, normalised))

    def best(answers: Sequence[str]) -> float:
        if len(answers) == 1:
            return float(answers[0] in exact)
        _, given = as_compared("", answers)
        known = bare if len(set(map(stripped, answers))) == 1 else plain
        return max((agreement(each, given) for each in known.intersection(given)), default=0.0)

    return sum(best(question.answers) for question in questions) / len(questions)


def majority(train: Iterable[Question], held_out: Sequence[Question]) -> float:
    """Return the score of the most frequent training answer, whatever is asked."""
    answer = next(iter(answer_counts(train)))
    return sum(score(answer, each.answers) for each in held_out) / len(held_out)


def question_only(train: Sequence[Question], held_out: Sequence[Question]) -> float:
    """Return the score of the most frequent training answer to each question, without any image.

    A question that train does not have gets the most frequent answer to its type, or to all.
    """
    asked: Mapping[str, Counter[str]] = defaultdict(Counter)
    types: Mapping[str, Counter[str]] = defaultdict(Counter)
    every: Counter[str] = Counter()
    for question in train:
        answer = _best(question.answers)
        asked[question.question][answer] += 1
        types[question.type][answer] += 1
        every[answer] += 1

    def guess(question: Question) -> str:
        known = asked.get(question.question) or types.get(question.type) or every
        return max(known.items(), key=lambda item: (item[1], item[0]))[0]

    return sum(score(guess(each), each.answers) for each in held_out) / len(held_out)


def _best(answers: Sequence[str]) -> str:
    if len(answers) == 1:
        return answers[0]
    return Counter(as_compared("", answers)[1]).most_common(1)[0][0]
