"""Stacked attention, against a loop over its formula."""

import pytest
import torch

from .made import CELLS, WORDS, made, padded


def through(layer, x):
    return layer.weight @ x + (0 if layer.bias is None else layer.bias)


def by_the_formula(module, words, cells, form):
    """Yang et al. 2016, (12) to (21), a cell at a time; or with their code's energies."""
    values = [through(module.embed, cell).tanh() for cell in cells]
    question, shares = words[-1], []
    for hop in module.hops:
        energies = []
        for value in values:
            told, asked = through(hop.key, value), through(hop.query, question)
            if form == "paper":
                energies.append(through(hop.score, (told + asked).tanh()))
            else:
                energies.append(through(hop.score, told.tanh() + asked.tanh()).tanh())
        exponentials = torch.cat(energies).exp()
        shares.append(exponentials / exponentials.sum())
        question = question + sum(p * v for p, v in zip(shares[-1], values, strict=True))
    return question, torch.stack(shares)


@pytest.mark.parametrize("form", ["paper", "code"])
@pytest.mark.parametrize("hops", [1, 2, 3])
def test_it_is_its_formula(hops, form):
    options = f":hops={hops}" * (hops > 1) + f":form={form}" * (form == "code")
    module = made(f"soft{options}", std=1.0).double()
    words, cells, no_word, no_cell = padded()
    out = module(words, cells, key_padding_mask=no_cell, query_padding_mask=no_word)
    shown = module.mechanism.weights(module, words, cells, no_cell, no_word)["weights"]
    assert shown.shape == (3, hops, 1, max(CELLS))
    for image, (number, seen) in enumerate(zip(WORDS, CELLS, strict=True)):
        found = by_the_formula(module, words[image, :number], cells[image, :seen], form)
        torch.testing.assert_close(out[image], found[0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(shown[image, :, 0, :seen], found[1], rtol=1e-12, atol=1e-12)


def test_in_the_form_of_the_code_no_weight_is_far_above_another():
    words, cells, *_ = padded()
    spread = {}
    for word in ("soft", "soft:form=code"):
        module = made(word, std=20.0).double()
        weights = module.weights(words, cells)
        spread[word] = (weights.amax(-1) / weights.amin(-1)).max().log()
    assert spread["soft:form=code"] <= 2 + 1e-9
    assert spread["soft"] > 10
