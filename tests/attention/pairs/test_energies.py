"""Energies between two sets: the weights are their softmax, and padding has no part in them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from plugins.attention.core.site import Place
from plugins.attention.core.word import Word

from .made import SITE, made, padded

WORDS = ("bilinear", "co", "soft", "soft:hops=3", "soft:form=code", "1000", "0010", "1010")


def stood(word):
    (part,) = Word.parse(word).parts
    site = replace(SITE, places=(Place.POOL, Place.ATTENTION))
    return part, made(word, site.at(part.place(site))).double()


@pytest.mark.parametrize("word", WORDS)
def test_weights_of_a_word_alone_are_the_softmax_of_its_energies(word):
    part, module = stood(word)
    assert part.no_energies() == ""
    words, cells, _, hidden = padded()
    asked = words[:, :1]
    weights = part.weights(module, asked, cells, hidden)["weights"]
    weights = weights.expand(len(words), -1, -1, -1)[:, -1, 0]
    energies = part.energies(module, asked, cells, hidden)
    expected = energies.masked_fill(hidden, float("-inf")).softmax(1)
    torch.testing.assert_close(weights, expected)


@pytest.mark.parametrize("word", WORDS)
def test_energies_are_those_of_the_last_word(word):
    part, module = stood(word)
    words, cells, out, hidden = padded()
    energies = part.energies(module, words, cells, hidden, out)
    for row, length in enumerate((~out).sum(1)):
        first = 0 if word == "co" else int(length) - 1  # whose words are all of them
        alone = part.energies(
            module,
            words[row : row + 1, first:length],
            cells[row : row + 1],
            hidden[row : row + 1],
        )
        torch.testing.assert_close(energies[row], alone[0])


@pytest.mark.parametrize("word", WORDS)
def test_what_makes_values_has_no_part_in_them(word):
    part, module = stood(word)
    words, cells, out, hidden = padded()
    energies = part.energies(module, words, cells, hidden, out)
    for name in part.of_values:
        delattr(module, name)
    assert torch.equal(part.energies(module, words, cells, hidden, out), energies)


@pytest.mark.parametrize("word", ["hard", "0000", "single", "bilinear:glimpses=2", "dynamic"])
def test_others_say_why_they_have_none(word):
    (part,) = Word.parse(word).parts
    assert part.no_energies()
