"""Words of questions as numbers."""

from __future__ import annotations

import functools
import re
from pathlib import Path

from plugins.question_answering.data.layout import read_questions

__all__ = ["PADDING", "known_words", "numbers", "words"]

PADDING, UNKNOWN, FIRST = 0, 1, 2
"""The numbers of no word, of a word that train does not have, and of the first that it has."""

WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def words(question: str) -> list[str]:
    """Return the words of a question: letters and digits, with apostrophes between them."""
    return WORD.findall(question.lower())


@functools.lru_cache(maxsize=4)
def known_words(folder: Path, images: int | None = None) -> dict[str, int]:
    """Return the number of each word that the training questions of a set have.

    With `images` only the questions about the first so many images count.
    """
    asked = read_questions(folder, "train", images)
    found = {word for question in asked for word in words(question.question)}
    return {word: number for number, word in enumerate(sorted(found), FIRST)}


def numbers(question: str, known: dict[str, int], length: int) -> list[int]:
    """Return `length` numbers: those of the first words, then padding; at least one is none."""
    found = [known.get(word, UNKNOWN) for word in words(question)[:length]] or [UNKNOWN]
    return found + [PADDING] * (length - len(found))
