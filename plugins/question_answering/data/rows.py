"""What is asked about an image, and what is named in one."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Box", "Phrase", "Question"]

Box = tuple[float, float, float, float]
"""Left, top, width, height in pixels."""


@dataclass(frozen=True)
class Question:
    """A question about an image.

    Parameters
    ----------
    image: str
        Path below the set's folder, with slashes.
    question: str
        As it was asked.
    answers: tuple of str
        One that is right, or those of ten people (VQA).
    type: str
        What accuracy is broken down by.
    answer_type: str
        For VQA: yes/no, number, other.
    boxes: tuple of boxes
        What the question names, where that is known.
    """

    image: str
    question: str
    answers: tuple[str, ...]
    type: str
    answer_type: str = ""
    boxes: tuple[Box, ...] = ()


@dataclass(frozen=True)
class Phrase:
    """A phrase that names something in an image.

    Parameters
    ----------
    image: str
        Path below the set's folder, with slashes: an image, or a file of `features` (boxes, width)
        and `boxes` (boxes, 4), left, top, right, bottom in pixels.
    phrase: str
        The words that name it.
    boxes: tuple of boxes
        What is named, one at least.
    types: tuple of str
        What recall is broken down by.
    sentence: str
        Whose part the phrase is.
    start: int
        How many words of the sentence, between spaces, come before that in which the phrase begins.
    """

    image: str
    phrase: str
    boxes: tuple[Box, ...]
    types: tuple[str, ...]
    sentence: str = ""
    start: int = 0
