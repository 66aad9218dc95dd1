"""How often the question alone is right, counted anew and compared with what a card says."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest

from plugins.question_answering.data.layout import read_questions
from study import data


def assert_told_by_the_card(name: str, folder: Path) -> None:
    """The most frequent training answer to each question is right on val as the note says."""
    asked = defaultdict(Counter)
    for each in read_questions(folder, "train"):
        asked[each.question][each.answers[0]] += 1
    every = sum(asked.values(), Counter())
    right = defaultdict(list)
    for each in read_questions(folder, "val"):
        guess = (asked.get(each.question) or every).most_common(1)[0][0]
        right[each.type].append(guess == each.answers[0])
    of_all = np.mean([each for found in right.values() for each in found])
    card = data.card(name)
    assert of_all == pytest.approx(card["counts"]["question_only"]["val"], abs=0.01)
    (note,) = (note for note in card["notes"] if "without the image" in note)
    told = dict(re.findall(r"(\w+) (\.\d+)", note))
    assert told.keys() == {"for", *right}
    # Where two answers are equally frequent in train, either may be said.
    for kind, share in {"for": of_all, **{k: np.mean(v) for k, v in right.items()}}.items():
        assert float(told[kind]) == pytest.approx(share, abs=0.02), kind
