"""Hard attention, against loops over its formula."""

import math

import pytest
import torch

from plugins.attention.core.word import Word

from .made import CELLS, CHANNELS, WORDS, made, padded


def through(layer, x):
    return layer.weight @ x + (0 if layer.bias is None else layer.bias)


def features(module, question, cells):
    """m_i of every cell, and how long each is."""
    found = [through(module.key, c) + through(module.query, question) for c in cells]
    for layer in module.fuse:
        found = [through(layer, m.clamp(min=0)) for m in found]
    return found, [math.sqrt(sum(x * x for x in m.tolist())) for m in found]


def kept_of(presence, cells):
    if cells:
        order = sorted(range(len(presence)), key=lambda i: -presence[i])
        return sorted(order[:cells])
    total = sum(math.exp(p) for p in presence)
    return [i for i, p in enumerate(presence) if math.exp(p) / total >= 1 / len(presence)]


def pooled(pool, kind, kept):
    if kind == "sum":
        return sum(kept)
    out = torch.zeros(CHANNELS, dtype=torch.float64)
    for a in kept:
        if kind == "pairwise":
            query = through(pool.query, a)
            f = [(query @ through(pool.key, b) / math.sqrt(CHANNELS)).exp() for b in kept]
            values = [through(pool.value, b) for b in kept]
            out += sum(x / sum(f) * v for x, v in zip(f, values, strict=True))
            continue
        for b in kept:
            both = torch.cat([pool.first.weight, pool.second.weight], dim=1) @ torch.cat([a, b])
            hidden = (both + pool.second.bias).clamp(min=0)
            for layer in pool.layers:
                hidden = through(layer, hidden).clamp(min=0)
            out += hidden
    return out


@pytest.mark.parametrize("layers", [1, 2, 4])
@pytest.mark.parametrize("pooling", ["sum", "pairwise", "relation"])
@pytest.mark.parametrize("cells", [0, 1, 3, 16])
def test_it_is_its_formula(cells, pooling, layers):
    options = f":cells={cells}" * (cells != 16) + f":pooling={pooling}" * (pooling != "sum")
    options += f":layers={layers}" * (layers != 2)
    assert Word.parse(f"hard{options}").parts[0].layers == layers
    module = made(f"hard{options}", std=0.3).double()
    words, images, no_word, no_cell = padded()
    out = module(words, images, key_padding_mask=no_cell, query_padding_mask=no_word)
    shown = module.mechanism.weights(module, words, images, no_cell, no_word)
    for image, (number, seen) in enumerate(zip(WORDS, CELLS, strict=True)):
        found, presence = features(module, words[image, number - 1], images[image, :seen])
        kept = kept_of(presence, cells)
        expected = pooled(module.pool, pooling, [found[i] for i in kept])
        torch.testing.assert_close(out[image], expected, rtol=1e-12, atol=1e-12)
        assert shown["mask"][image].nonzero().flatten().tolist() == kept
        assert module.cells_kept[image] == len(kept)
        lengths = torch.tensor(presence, dtype=torch.float64)
        torch.testing.assert_close(shown["presence"][image, :seen], lengths)
    if cells == 0:
        assert 1 < module.cells_kept[0] < CELLS[0]


@pytest.mark.parametrize("number", [1, 3, 49, 144, 1000])
def test_of_cells_that_are_all_alike_all_are_kept(number):
    module = made("hard:cells=0")
    cells = torch.randn(1, 1, 5).expand(2, number, 5)
    module(torch.randn(2, 3, CHANNELS), cells)
    assert module.cells_kept.tolist() == [number, number]


def test_dropped_cells_learn_nothing_from_the_answer():
    module = made("hard:cells=2").double()
    words, cells, *_ = padded()
    cells.requires_grad_()
    module(words, cells).sum().backward()
    mask = module.mechanism.weights(module, words, cells)["mask"].bool()
    assert mask.sum(1).tolist() == [2, 2, 2]
    assert (cells.grad[~mask] == 0).all()
    assert (cells.grad[mask].abs().sum(1) > 0).all()


def test_at_random_every_cell_is_kept_as_often_as_another():
    module = made("hard:cells=12:select=random").train()
    words, cells = torch.randn(1, 3, CHANNELS), torch.randn(1, 48, 5)
    counts, draws = torch.zeros(48), 400
    for _ in range(draws):
        counts += module.weights(words, cells)[1][0]
    assert counts.sum() == 12 * draws
    # Each is binomial with p = 1/4: five standard deviations either way.
    assert (counts - draws / 4).abs().max() < 5 * math.sqrt(draws * 3 / 16)


def test_after_training_the_cells_at_random_are_others_for_each_image_and_the_same_each_time():
    torch.manual_seed(0)
    module, number = made("hard:cells=36:select=random"), 400
    words, cells = torch.randn(number, 3, CHANNELS), torch.randn(number, 144, 5)
    shown = module.mechanism.weights(module, words, cells)
    assert list(shown) == ["mask"]  # no length decided
    mask = shown["mask"]
    alone = module.mechanism.weights(module, words[7:9], cells[7:9])["mask"]
    torch.testing.assert_close(alone, mask[7:9])
    assert len(mask.unique(dim=0)) > 100  # of 144 that there can be
    # Draws that repeat scatter more than as many: these are about 140 of one chance in four.
    assert (mask.mean(dim=0) - 1 / 4).abs().max() < 5 * math.sqrt(3 / 16 / 100)
    longest = made("hard:cells=1").weights(words, cells)[1]
    assert abs((mask * longest).sum(dim=1).mean() - 1 / 4) < 5 * math.sqrt(3 / 16 / 100)


def test_cells_at_random_are_not_those_of_largest_norm():
    words, cells, *_ = padded(torch.float32)
    longest, drawn = (
        made(word).weights(words, cells)[1]
        for word in ("hard:cells=3", "hard:cells=3:select=random")
    )
    assert (longest != drawn).any(dim=1).sum() >= 2
