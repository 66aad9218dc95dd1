"""Splits that no sentence crosses: near-duplicates form groups, and a group stays together.

Two pairs belong to one group if they share all their words (`catalogs.words`) on either side, or
if the English bigrams of words overlap by a Jaccard index of at least 0.6. Not airtight: bigrams
of more than 400 sentences do not propose candidates, and single words are not compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import pairwise

from plugins.translation.data.catalogs import Pair, words

__all__ = ["groups", "key", "split"]

MIN_JACCARD = 0.6
MAX_SENTENCES_OF_BIGRAM = 400
# Held-out sentences come from small groups (typical text, not a template) and are not too short.
MAX_HELD_OUT_GROUP = 2
MIN_HELD_OUT_TOKENS = 4


def key(text: str) -> str:
    """Return what two sentences must not have in common across splits: the words in order."""
    return " ".join(words(text))


def groups(pairs: Sequence[Pair]) -> list[list[int]]:
    """Return the groups of near-duplicates, as ascending indices into `pairs`."""
    parents = list(range(len(pairs)))

    def find(index: int) -> int:
        while parents[index] != index:
            parents[index] = parents[parents[index]]
            index = parents[index]
        return index

    def join(one: int, other: int) -> None:
        first, second = sorted((find(one), find(other)))
        parents[second] = first

    for side in range(2):
        seen: dict[str, int] = {}
        for index, pair in enumerate(pairs):
            join(seen.setdefault(key(pair[side]), index), index)

    bigrams = [set(pairwise(words(pair.en))) for pair in pairs]
    holders: dict[tuple[str, str], list[int]] = {}
    for index, own in enumerate(bigrams):
        for bigram in own:
            holders.setdefault(bigram, []).append(index)
    for index, own in enumerate(bigrams):
        candidates = {
            other
            for bigram in own
            if len(holders[bigram]) <= MAX_SENTENCES_OF_BIGRAM
            for other in holders[bigram]
            if other > index
        }
        for other in candidates:
            both = len(own & bigrams[other])
            if both >= MIN_JACCARD * (len(own) + len(bigrams[other]) - both):
                join(index, other)

    found: dict[int, list[int]] = {}
    for index in range(len(pairs)):
        found.setdefault(find(index), []).append(index)
    return list(found.values())


def split(pairs: Sequence[Pair], held_out: int) -> dict[str, list[Pair]]:
    """Return ``train``, ``valid`` and ``test``; the last two have exactly `held_out` pairs.

    Groups enter valid and test in the order of a hash of their text: the choice depends only on the
    text, and looks random.

    Raises
    ------
    ValueError
        If too few groups are small enough to be held out.
    """

    def rank(group: list[int]) -> str:
        return hashlib.sha256(pairs[group[0]].en.encode()).hexdigest()

    chosen: dict[str, list[int]] = {"valid": [], "test": []}
    taken: set[int] = set()
    for group in sorted(groups(pairs), key=rank):
        long_enough = all(len(pairs[i].en.split()) >= MIN_HELD_OUT_TOKENS for i in group)
        if len(group) > MAX_HELD_OUT_GROUP or not long_enough:
            continue
        for indices in chosen.values():
            if len(indices) + len(group) <= held_out:
                indices += group
                taken.update(group)
                break
    if any(len(indices) < held_out for indices in chosen.values()):
        raise ValueError(f"fewer than 2 x {held_out} pairs can be held out")
    train = [pair for index, pair in enumerate(pairs) if index not in taken]
    return {"train": train} | {name: [pairs[i] for i in chosen[name]] for name in chosen}
