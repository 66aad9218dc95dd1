"""Accuracy of answers that are right or wrong, of all questions and of those of each type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Accuracy", "accuracy"]


class Accuracy(NamedTuple):
    """Shares of right answers, from 0 to 1."""

    overall: float
    by_type: dict[str, float]


def accuracy(predicted: Sequence[str], answers: Sequence[str], types: Sequence[str]) -> Accuracy:
    """Return the share of predictions that equal the answer.

    Parameters
    ----------
    predicted, answers, types: sequence of str
        Of each question.

    Raises
    ------
    ValueError
        If they differ in number, or there are none.
    """
    if not len(predicted) == len(answers) == len(types):
        raise ValueError(
            f"{len(predicted)} predictions, {len(answers)} answers and {len(types)} types; each "
            "question has one of each"
        )
    if not answers:
        raise ValueError("accuracy needs at least one question")
    by_type: defaultdict[str, list[bool]] = defaultdict(list)
    for said, answer, kind in zip(predicted, answers, types, strict=True):
        by_type[kind].append(said == answer)
    right = sum(map(sum, by_type.values()))
    return Accuracy(
        right / len(answers), {kind: sum(found) / len(found) for kind, found in by_type.items()}
    )
