"""Bilinear attention and what it is compared with, against einsums of their formulas."""

import pytest
import torch
from torch import einsum

from .made import CELLS, CHANNELS, WORDS, made, padded


def weight(layer):
    """The matrix of a layer by the definition of weight normalisation, with one gain."""
    gain, direction = (getattr(layer.parametrizations.weight, f"original{i}") for i in (0, 1))
    assert gain.numel() == 1
    return gain * direction / direction.square().sum().sqrt()


def through(layer, x):
    return einsum("oi,ni->no", weight(layer), x) + (0 if layer.bias is None else layer.bias)


def by_the_formula(module, words, cells, joint):
    """Kim et al. 2018, (5) to (11), of one question (T, C) to one image (S, B)."""
    asked, told = through(module.query, words).relu(), through(module.key, cells).relu()
    energies = einsum("gk,tk,sk->gts", weight(module.score), asked, told).exp()
    weights = energies / energies.sum(dim=(1, 2), keepdim=True)
    seen, found = words, []
    for glimpse, by in zip(module.glimpses, weights, strict=True):
        asked, told = through(glimpse.query, seen).relu(), through(glimpse.key, cells).relu()
        joined = einsum("ts,sc,tc->c", by, told, asked)
        found.append(through(glimpse.out, joined[None])[0])
        if joint == "residual":
            seen = seen + found[-1]
    if joint == "residual":
        return einsum("tc->c", seen), weights
    return (sum(found) if joint == "sum" else torch.cat(found)), weights


def as_written(name, glimpses, joint):
    return (
        name + f":glimpses={glimpses}" * (glimpses > 1) + f":joint={joint}" * (joint != "residual")
    )


@pytest.mark.parametrize("joint", ["residual", "sum", "concatenation"])
@pytest.mark.parametrize("glimpses", [1, 2, 3])
@pytest.mark.parametrize("name", ["bilinear", "single", "co"])
def test_it_is_its_formula(name, glimpses, joint):
    module = made(as_written(name, glimpses, joint), std=1.0).double()
    words, cells, no_word, no_cell = padded()
    out = module(words, cells, key_padding_mask=no_cell, query_padding_mask=no_word)
    shown = module.mechanism.weights(module, words, cells, no_cell, no_word)
    for image, (number, seen) in enumerate(zip(WORDS, CELLS, strict=True)):
        asking = words[image, :number]
        if name == "single":
            asking = asking[-1:]
        if name == "co":
            hidden = through(module.word, asking).relu()
            shares = einsum("ti,oi->t", hidden, weight(module.word_score)).exp()
            shares = shares / shares.sum()
            torch.testing.assert_close(shown["words"][image, :number], shares)
            asking = einsum("t,tc->c", shares, asking)[None]
        expected, weights = by_the_formula(module, asking, cells[image, :seen], joint)
        torch.testing.assert_close(out[image], expected, rtol=1e-11, atol=1e-11)
        at = shown["weights"][image, :, : len(asking), :seen]
        torch.testing.assert_close(at, weights, rtol=1e-11, atol=1e-11)
    assert shown["weights"].shape[2] == (max(WORDS) if name == "bilinear" else 1)


def test_side_by_side_each_glimpse_has_its_part_of_the_channels():
    module = made("bilinear:glimpses=3:joint=concatenation").double()
    words, cells, *_ = padded()
    before = module(words, cells)
    with torch.no_grad():
        module.glimpses[1].out.bias.add_(1)
    changed = (module(words, cells) != before).all(dim=0)
    part = CHANNELS // 3
    assert changed.tolist() == [False] * part + [True] * part + [False] * part


def test_large_energies_stay_finite_in_half_precision():
    module = made("bilinear", std=30.0)
    words, cells, no_word, no_cell = padded(torch.float32)
    with torch.autocast("cpu", dtype=torch.float16):
        weights = module.weights(words.half(), cells.half(), no_cell, no_word)
    assert weights.isfinite().all()
    assert weights.dtype == torch.float32
