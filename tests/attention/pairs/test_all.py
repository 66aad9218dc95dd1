"""What holds for every mechanism that pools two sets, in each of its forms."""

import json
from dataclasses import replace

import pytest
import torch

from plugins.attention.core.cost import count
from plugins.attention.core.site import PairSite, Place
from plugins.attention.core.standing import build, cost_at, placed
from plugins.attention.core.word import Word

from .made import CELL_CHANNELS, CELLS, CHANNELS, SITE, WORDS, made, padded

EVERY = [
    "soft",
    "soft:hops=2",
    "soft:hops=2:reduction=1:form=code",
    "hard:cells=3",
    "hard:cells=3:pooling=pairwise",
    "hard:cells=3:pooling=relation",
    "hard:cells=0",
    "hard:cells=0:pooling=pairwise",
    "hard:cells=0:pooling=relation",
    "hard:cells=3:layers=1",
    "hard:cells=3:pooling=pairwise:layers=4",
    "hard:cells=3:select=random",
    "single",
    "co",
    "co:glimpses=2",
    "co:dropout=true",
    "bilinear",
    "bilinear:glimpses=3",
    "bilinear:glimpses=2:joint=sum",
    "bilinear:glimpses=2:joint=concatenation",
    "bilinear:glimpses=2:dropout=true",
]


@pytest.mark.parametrize("word", EVERY)
def test_padding_is_as_good_as_absent_and_images_are_strangers(word):
    module = made(word).double()
    words, cells, no_word, no_cell = padded()
    words[no_word], cells[no_cell] = 1e3, -1e3  # whatever padding holds
    out = module(words, cells, key_padding_mask=no_cell, query_padding_mask=no_word)
    assert out.shape == (3, CHANNELS)
    for image, (number, seen) in enumerate(zip(WORDS, CELLS, strict=True)):
        alone = module(words[image : image + 1, :number], cells[image : image + 1, :seen])
        torch.testing.assert_close(out[image], alone[0], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("word", EVERY)
def test_what_it_shows_leaves_padding_out(word):
    module = made(word).double()
    words, cells, no_word, no_cell = padded()
    shown = module.mechanism.weights(module, words, cells, no_cell, no_word)
    for name, found in shown.items():
        hidden = no_word if name == "words" else no_cell
        assert found.isfinite().all()
        flat = found if found.dim() == 2 else found.sum(dim=(1, 2))
        assert flat.shape == hidden.shape
        assert (flat[hidden] == 0).all()
        assert (flat.sum(dim=1) > 0).all()
    if "weights" in shown:
        total = shown["weights"].sum(dim=(2, 3))
        torch.testing.assert_close(total, torch.ones_like(total))


@pytest.mark.parametrize("word", EVERY)
def test_where_all_is_padding_it_stays_finite(word):
    module = made(word).double()
    words, cells, no_word, no_cell = padded()
    no_cell[0] = True
    cells.requires_grad_()
    out = module(words, cells, key_padding_mask=no_cell, query_padding_mask=no_word)
    out.sum().backward()
    assert out.isfinite().all()
    assert cells.grad.isfinite().all()


@pytest.mark.parametrize("word", EVERY)
def test_its_gradients_are_those_of_finite_differences(word):
    module = made(word).double()
    words, cells, no_word, no_cell = padded()
    names = [name for name, _ in module.named_parameters()]

    def pooled(words, cells, *parameters):
        given = dict(zip(names, parameters, strict=True))
        masks = {"key_padding_mask": no_cell, "query_padding_mask": no_word}
        return torch.func.functional_call(module, given, (words, cells), masks)

    inputs = (words.requires_grad_(), cells.requires_grad_(), *module.parameters())
    assert torch.autograd.gradcheck(pooled, inputs, fast_mode=True)


@pytest.mark.parametrize("sizes", [(4, 9), (1, 2)], ids=str)
@pytest.mark.parametrize("word", EVERY)
def test_it_multiplies_what_its_closed_form_says(word, sizes):
    site = replace(SITE, channels=12, key_channels=20)
    module, (queries, keys) = made(word, site), sizes
    words, cells = torch.randn(3, queries, 12), torch.randn(3, keys, 20)
    no_cell = torch.zeros(3, keys, dtype=torch.bool)
    form = cost_at(Word.parse(word), replace(site, queries=queries, keys=keys))
    cost = count(module, lambda: module(words, cells, key_padding_mask=no_cell), [12], inputs=3)
    assert cost.mechanism["executed_macs"] == cost.mechanism["macs"] == form.macs > 0
    assert cost.mechanism["parameters"] == form.parameters
    json.dumps(cost.to_json())


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("word", EVERY)
def test_in_half_precision_it_is_nearly_the_same(word, kind):
    module = made(word)
    words, cells, no_word, no_cell = padded(torch.float32)
    cells[:, 1] *= 3  # or rounding would decide which is the longest
    words, cells = words.to(kind), cells.to(kind)
    masks = {"key_padding_mask": no_cell, "query_padding_mask": no_word}
    expected = module(words.float(), cells.float(), **masks)
    with torch.autocast("cpu", dtype=kind):
        out = module(words, cells, **masks)
    assert out.dtype == kind
    assert (out.float() - expected).abs().max() <= 16 * torch.finfo(kind).eps * expected.abs().max()


@pytest.mark.parametrize("word", EVERY)
def test_it_compiles_into_one_graph(word):
    module = made(word)
    words, cells, no_word, no_cell = padded(torch.float32)
    masks = {"key_padding_mask": no_cell, "query_padding_mask": no_word}
    torch.compiler.reset()  # it gives up on code that it has compiled for eight modules
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(words, cells, **masks), module(words, cells, **masks))


@pytest.mark.parametrize("word", EVERY)
def test_one_word_that_sees_one_cell_is_enough_to_learn_from(word):
    module = made(word)
    words, cells = torch.randn(1, 1, CHANNELS), torch.randn(1, 1, CELL_CHANNELS)
    module(words, cells).square().sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in module.parameters())
    assert sum(p.grad.abs().sum() for p in module.parameters() if p.grad is not None) > 0


@pytest.mark.parametrize("word", EVERY)
def test_it_stands_instead_of_the_pooling_alone(word):
    found = placed(Word.parse(word), {"pool": SITE})
    assert list(found["pool"]) == [Place.POOL]
    attention = PairSite(channels=CHANNELS, key_channels=CELL_CHANNELS)
    with pytest.raises(ValueError, match="stands instead of the pooling, and there is none of"):
        placed(Word.parse(word), {"words": attention})


def test_cells_may_be_as_wide_as_words():
    for word in ("soft", "hard", "bilinear", "single", "co"):
        module = build(Word.parse(word).parts[0], replace(SITE, key_channels=None))
        out = module(torch.randn(2, 3, CHANNELS), torch.randn(2, 4, CHANNELS))
        assert out.shape == (2, CHANNELS)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("soft:reduction=8", "a reduction of 8 leaves none of 6 channels; 6 is the largest"),
        (
            "bilinear:glimpses=4:joint=concatenation",
            "6 channels cannot be divided among 4 glimpses",
        ),
        ("hard:cells=0:select=random", "select=random does not ask: give a number of cells"),
    ],
)
def test_what_makes_no_sense_there_is_refused(word, reason):
    with pytest.raises(ValueError, match=reason):
        placed(Word.parse(word), {"pool": SITE})
