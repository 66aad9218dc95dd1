"""BLEU of any sample of sentences, from what was counted, is sacrebleu's of those sentences."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from plugins.translation.data.bleu import bleu_of
from plugins.translation.items import bleu_of_samples, statistics
from plugins.translation.task import Translation

TEXT = "a small red house, stands on the hill. and looks far over its quiet valley!"


def texts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """References of 1 to 12 words, and translations that get some of them wrong; one is empty."""
    chance, words = np.random.default_rng(seed), TEXT.split()
    references = [" ".join(chance.choice(words, chance.integers(1, 13))) for _ in range(count)]
    translations = []
    for reference in references:
        said = [w if chance.random() < 0.7 else chance.choice(words) for w in reference.split()]
        translations.append(" ".join(said[: chance.integers(0, len(said) + 2)]))
    translations[count // 2] = ""
    return translations, references


def repeated(texts, weights):
    return [text for text, times in zip(texts, weights, strict=True) for _ in range(times)]


@pytest.mark.parametrize("language", ["de", "zh", "th"])
@pytest.mark.parametrize("count", [3, 40])
def test_it_is_sacrebleus_of_the_repeated_sentences(language, count):
    """Of few sentences no run of four words is right, so that sacrebleu smooths."""
    metric = bleu_of(language)
    translations, references = texts(count)
    weights = np.random.default_rng(1).integers(0, 4, (60, count))
    weights[0] = 1
    weights[1:30] = weights[1:30] * (np.random.default_rng(2).random((29, count)) < 2 / count)
    items = statistics(metric, translations, references)
    found = Translation().value_of_items(items, weights)
    smoothed = 0
    for value, sample in zip(found, weights, strict=True):
        if not sample.any():
            assert math.isnan(value)
            continue
        expected = metric.corpus_score(
            repeated(translations, sample), [repeated(references, sample)]
        )
        assert value == pytest.approx(expected.score, abs=1e-9)
        smoothed += 0 in expected.counts and expected.score > 0
    assert (smoothed > 0) == (language != "th")  # of Thai the characters count
    assert found[0] == metric.corpus_score(translations, [references]).score


def test_a_thousand_samples_take_moments():
    items = statistics(bleu_of("de"), *texts(3000))
    weights = np.random.default_rng(0).multinomial(3000, np.full(3000, 1 / 3000), 1000)
    began = time.process_time()
    found = bleu_of_samples(items, weights)
    assert time.process_time() - began < 10
    whole = bleu_of_samples(items, np.ones((1, 3000), int))[0]
    assert found.mean() == pytest.approx(whole, abs=1)
    assert 0 < found.std() < 2


def test_samples_whose_references_have_no_word_are_no_number():
    items = statistics(bleu_of("de"), ["a", "b c"], ["", "b c d e"])
    found = bleu_of_samples(items, np.array([[1, 0], [0, 1], [0, 0], [2, 1]]))
    assert np.isnan(found).tolist() == [True, False, True, False]
