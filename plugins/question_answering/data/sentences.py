"""Phrases as they are read: the words of a sentence up to the last one of the phrase.

What reads words one after the other knows no later ones there (Kim et al. 2018, Bilinear Attention
Networks, https://arxiv.org/abs/1805.07932, read a phrase at its last word). Imports no framework.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

from plugins.question_answering.data.layout import read_phrases
from plugins.question_answering.data.rows import Phrase
from plugins.question_answering.data.words import FIRST, PADDING, UNKNOWN, words

__all__ = ["known_words_of_phrases", "numbers_of_phrase", "sentences", "words_of"]


def sentences(phrases: Sequence[Phrase]) -> list[list[int]]:
    """Return the numbers of the phrases of each sentence; without one a phrase is its own."""
    found: dict[tuple[str, str, int], list[int]] = {}
    for number, phrase in enumerate(phrases):
        alone = -1 if phrase.sentence else number
        found.setdefault((phrase.image, phrase.sentence, alone), []).append(number)
    return list(found.values())


def words_of(phrase: Phrase) -> tuple[list[str], int]:
    """Return the words up to the last one of a phrase, and how many come before its first."""
    read = phrase.sentence.split()
    # In `non-[/EN#1/people smokers]` a part of the first word comes before the phrase.
    rest = " ".join(read[phrase.start :])
    joined = rest[: max(0, rest.find(" ".join(phrase.phrase.split())))]
    before = words(" ".join([*read[: phrase.start], joined]))
    return before + words(phrase.phrase), len(before)


@functools.lru_cache(maxsize=4)
def known_words_of_phrases(folder: Path, images: int | None = None) -> dict[str, int]:
    """Return the number of each word that is read of the training phrases of a set.

    With `images` only the phrases of the first so many images count.
    """
    phrases = read_phrases(folder, "train", images)
    found = {word for phrase in phrases for word in words_of(phrase)[0]}
    return {word: number for number, word in enumerate(sorted(found), FIRST)}


def numbers_of_phrase(
    phrase: Phrase, known: dict[str, int], length: int
) -> tuple[list[int], list[bool]]:
    """Return `length` numbers, and which of them are none of the phrase.

    They are those of the last words that are read, then padding; at least one is of the phrase.
    """
    read, before = words_of(phrase)
    found = [known.get(word, UNKNOWN) for word in read]
    if len(found) == before:
        found.append(UNKNOWN)
    outside = [index < before for index in range(len(found))][-length:]
    found = found[-length:]
    rest = length - len(found)
    return found + [PADDING] * rest, outside + [True] * rest
