"""What can be asked about a scene of digits, and the phrases that name each of them.

Questions and phrases have one answer: where a position is hardly to be told, nothing is asked.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import permutations
from typing import NamedTuple

from plugins.openmmlab.data.handwriting import Box

__all__ = ["INKS", "NAMES", "Asked", "Digit", "Named", "phrases", "questions"]

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
INKS = ("white", "black")
CLEARLY = 6
"""Pixels between two centres from which on one digit is said to be left of, or above, another."""
QUERIES = 2

# The axis of a relation, and the sign of what is nearer to its beginning.
RELATIONS = {"left of": (0, 1), "right of": (0, -1), "above": (1, 1), "below": (1, -1)}
EXTREMES = {
    "leftmost": "left of",
    "rightmost": "right of",
    "topmost": "above",
    "lowest": "below",
}


class Digit(NamedTuple):
    """A digit of a scene: its class, its ink and the box (x0, y0, x1, y1) of the ink."""

    name: str
    ink: str
    box: Box


class Asked(NamedTuple):
    """A question, its answer, its type, and the digits that it names."""

    question: str
    answer: str
    type: str
    named: tuple[Digit, ...] = ()


class Named(NamedTuple):
    """A phrase that names one digit, and its type."""

    phrase: str
    digit: Digit
    type: str


def questions(rng: random.Random, scene: Sequence[Digit]) -> Iterator[Asked]:
    """Yield two questions of ``exist`` (yes and no), one each of ``count`` and ``compare``.

    Then up to two of ``query``.
    """
    yield from _exist(rng, scene)
    yield _count(rng, scene)
    yield _compare(rng, scene)
    possible = list(_query(scene))
    yield from rng.sample(possible, min(QUERIES, len(possible)))


def phrases(rng: random.Random, scene: Sequence[Digit]) -> Iterator[Named]:
    """Yield phrases that name each digit.

    The only digit of its class is called by it (``unique``). One of several is called by its ink
    (``colour``) and by where it stands to another digit (``relation``), as far as that is clear.
    """
    for digit in scene:
        alike = [other for other in scene if other.name == digit.name and other is not digit]
        if not alike:
            yield Named(f"the {digit.name}", digit, "unique")
            continue
        if all(other.ink != digit.ink for other in alike):
            yield Named(f"the {digit.ink} {digit.name}", digit, "colour")
        related = [
            f"the {digit.name} {relation} the {anchor.name}"
            for anchor in _only_ones(scene)
            for relation in RELATIONS
            if _stands(relation, digit, anchor)
            and all(_stands(relation, other, anchor) is False for other in alike)
        ]
        if related:
            yield Named(rng.choice(related), digit, "relation")


def _stands(relation: str, one: Digit, other: Digit) -> bool | None:
    """Tell whether one digit stands so to another; None where it is hardly to be told."""
    axis, sign = RELATIONS[relation]
    before = sign * (_middle(other, axis) - _middle(one, axis))
    return True if before >= CLEARLY else False if before <= 0 else None


def _middle(digit: Digit, axis: int) -> float:
    return (digit.box[axis] + digit.box[axis + 2]) / 2


def _only_ones(scene: Sequence[Digit]) -> list[Digit]:
    """Return the digits whose class no other digit has."""
    number = Counter(digit.name for digit in scene)
    return [digit for digit in scene if number[digit.name] == 1]


def _exist(rng: random.Random, scene: Sequence[Digit]) -> Iterator[Asked]:
    """Ask for what is there and for what is not, in the same words: no words tell the answer."""
    present = sorted({digit.name for digit in scene})
    if rng.random() < 0.5:
        there = [rng.choice(present)]
        absent = [rng.choice([name for name in NAMES if name not in present])]
    else:
        seen = sorted({(digit.ink, digit.name) for digit in scene})
        there = list(rng.choice(seen))
        others = [(ink, name) for ink in INKS for name in present if (ink, name) not in seen]
        absent = list(rng.choice(others))
    named = tuple(digit for digit in scene if all(word in digit for word in there))
    yield Asked(f"is there {_one(there)}?", "yes", "exist", named)
    yield Asked(f"is there {_one(absent)}?", "no", "exist")


def _one(words: Sequence[str]) -> str:
    return f"{'an' if words[0] == 'eight' else 'a'} {' '.join(words)}"


def _count(rng: random.Random, scene: Sequence[Digit]) -> Asked:
    ink = rng.choice(("", *INKS))
    counted = tuple(digit for digit in scene if ink in ("", digit.ink))
    words = f"{ink} digits" if ink else "digits"
    return Asked(f"how many {words} are there?", str(len(counted)), "count", counted)


def _compare(rng: random.Random, scene: Sequence[Digit]) -> Asked:
    """Ask where one digit stands to another, or of which ink there are more."""
    relation = rng.choice(sorted(RELATIONS))
    pairs = [pair for pair in permutations(_only_ones(scene), 2) if _stands(relation, *pair)]
    if pairs and rng.random() < 0.5:
        one, other = pair = rng.choice(pairs)
        yes = rng.random() < 0.5
        if not yes:
            one, other = other, one
        question = f"is the {one.name} {relation} the {other.name}?"
        return Asked(question, "yes" if yes else "no", "compare", pair)
    first, second = rng.sample(INKS, 2)
    number = Counter(digit.ink for digit in scene)
    question = f"are there more {first} digits than {second} digits?"
    return Asked(question, "yes" if number[first] > number[second] else "no", "compare")


def _query(scene: Sequence[Digit]) -> Iterator[Asked]:
    """Yield all questions for the class of the one digit that has an ink or a place."""
    for ink in INKS:
        found = [digit for digit in scene if digit.ink == ink]
        if len(found) == 1:
            yield Asked(f"what is the {ink} digit?", found[0].name, "query", (found[0],))
    for word, relation in EXTREMES.items():
        for digit in scene:
            if all(_stands(relation, digit, other) for other in scene if other is not digit):
                yield Asked(f"what is the {word} digit?", digit.name, "query", (digit,))
    for anchor in _only_ones(scene):
        others = [digit for digit in scene if digit is not anchor]
        for relation in RELATIONS:
            stand = [_stands(relation, digit, anchor) for digit in others]
            if None not in stand and stand.count(True) == 1:
                there = others[stand.index(True)]
                question = f"what digit is {relation} the {anchor.name}?"
                yield Asked(question, there.name, "query", (there,))
