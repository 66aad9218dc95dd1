"""Recall@k of phrase grounding: is what a phrase names among the k best boxes?

A box finds a phrase if their intersection is at least half of their union, the threshold included.
A phrase may name several boxes, and papers differ there: *any-box* asks for one of them (BAN,
MDETR), *merged* for the smallest box around all (Plummer et al., Flickr30k Entities, 2015).
Compare numbers of one protocol only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Grounded", "Recall", "best_first", "hits", "merged", "overlaps", "rank", "recall"]

ENOUGH = 0.5
RANKS = (1, 5, 10)


class Grounded(NamedTuple):
    """A phrase with what was found for it.

    Parameters
    ----------
    boxes: numpy.ndarray
        Candidates, the best one first (candidates, 4): left, top, right, bottom.
    targets: numpy.ndarray
        What the phrase names (boxes, 4), at least one.
    types: sequence of str
        Of the phrase; Flickr30k Entities gives some more than one.
    """

    boxes: np.ndarray
    targets: np.ndarray
    types: Sequence[str] = ()


class Recall(NamedTuple):
    """Shares of phrases, from 0 to 1.

    Parameters
    ----------
    at: dict of int to float
        Found among so many best boxes.
    upper_bound: float
        Found by any candidate: no ranking of them gives more.
    by_type: dict of str to dict of int to float
        `at` of the phrases of each type.
    """

    at: dict[int, float]
    upper_bound: float
    by_type: dict[str, dict[int, float]]


def best_first(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Return boxes (candidates, 4) in falling order of their scores; ties stay in order."""
    return boxes[np.argsort(-np.asarray(scores), kind="stable")]


def merged(phrase: Grounded) -> Grounded:
    """Return the phrase with one target, the smallest box around all: the merged protocol."""
    targets = np.asarray(phrase.targets)
    around = np.concatenate([targets[:, :2].min(0), targets[:, 2:].max(0)])
    return phrase._replace(targets=around[None])


def overlaps(boxes: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return intersection over union (boxes, targets) of boxes (number, 4) by their corners."""
    first = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    second = np.asarray(targets, np.float64).reshape(1, -1, 4)
    sides = np.minimum(first[..., 2:], second[..., 2:]) - np.maximum(
        first[..., :2], second[..., :2]
    )
    shared = sides.clip(0).prod(-1)
    union = _area(first) + _area(second) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def hits(phrase: Grounded) -> np.ndarray:
    """Return which of the boxes find what the phrase names, (candidates,)."""
    return np.asarray((overlaps(phrase.boxes, phrase.targets) >= ENOUGH).any(1))


def rank(phrase: Grounded) -> int:
    """Return which of its boxes is the first to find it, counted from 1; 0 if none does."""
    found = hits(phrase)
    return int(found.argmax()) + 1 if found.any() else 0


def recall(phrases: Iterable[Grounded], ranks: Sequence[int] = RANKS) -> Recall:
    """Return Recall@k by the any-box protocol; by the other one of ``map(merged, phrases)``.

    Raises
    ------
    ValueError
        If there is no phrase, or one names no box.
    """
    first: list[int] = []
    by_type: defaultdict[str, list[int]] = defaultdict(list)
    for phrase in phrases:
        if not len(phrase.targets):
            raise ValueError("a phrase without a box cannot be found: leave it out")
        found = rank(phrase)
        first.append(found)
        for kind in phrase.types:
            by_type[kind].append(found)
    if not first:
        raise ValueError("recall needs at least one phrase")
    return Recall(
        _at(first, ranks),
        float(np.mean([each > 0 for each in first])),
        {kind: _at(found, ranks) for kind, found in by_type.items()},
    )


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[..., 2:] - boxes[..., :2]).clip(0).prod(-1)


def _at(first: Sequence[int], ranks: Sequence[int]) -> dict[int, float]:
    return {k: float(np.mean([0 < each <= k for each in first])) for k in ranks}
