"""Bilinear attention and what it is compared with, against einsums of their formulas."""

import pytest
import torch
from torch import Tensor, einsum, nn

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


@pytest.mark.parametrize("joint", ["residual", "sum", "concatenation"])
def test_the_first_glimpses_alone_are_a_module_without_the_others(joint):
    module = made(as_written("bilinear", 3, joint)).double()
    words, cells, no_word, no_cell = padded()
    masks = {"key_padding_mask": no_cell, "query_padding_mask": no_word}
    found = module.by_first(words, cells, no_cell, no_word, (1, 2, 3))
    torch.testing.assert_close(found[2], module(words, cells, **masks))
    fewer = made(as_written("bilinear", 3, joint)).double()
    for number in (2, 1):
        with torch.no_grad():  # what is left out adds nothing
            fewer.glimpses[number].out.bias.zero_()
            fewer.glimpses[number].out.parametrizations.weight.original0.zero_()
        torch.testing.assert_close(found[number - 1], fewer(words, cells, **masks))


def test_dropout_is_that_of_the_authors_code():
    """Of relu(U y) half is dropped, of what comes into a layer a fifth, and in training alone."""
    module = made("bilinear:dropout=true")
    words, cells, *_ = padded(torch.float32)
    assert torch.equal(module(words, cells), module(words, cells))
    dropped: dict[nn.Module, list[Tensor]] = {}
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.register_forward_hook(
                lambda part, given, out: dropped.setdefault(part, []).append(
                    (out == 0)[given[0] != 0].float().mean()
                )
            )
    module.train()
    for _ in range(300):
        module(words, cells)
    shares = {part.p: torch.stack(seen).mean() for part, seen in dropped.items()}
    assert sorted(part.p for part in dropped) == [0.2] * 5 + [0.5]
    for expected, seen in shares.items():
        assert abs(seen - expected) < 0.03
    assert module.drop_cells in dropped


def test_large_energies_stay_finite_in_half_precision():
    module = made("bilinear", std=30.0)
    words, cells, no_word, no_cell = padded(torch.float32)
    with torch.autocast("cpu", dtype=torch.float16):
        weights = module.weights(words.half(), cells.half(), no_cell, no_word)
    assert weights.isfinite().all()
    assert weights.dtype == torch.float32
