"""Queries that share cells: the same results as with each one's own, of fewer products."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from plugins.attention.core.site import Place
from plugins.attention.core.word import Word
from plugins.attention.kernels.shared import by_row

from .made import CELL_CHANNELS, SITE, made, padded

POOLS = [
    "soft",
    "soft:hops=2",
    "soft:form=code",
    "hard:cells=3",
    "hard:cells=0:pooling=pairwise",
    "hard:cells=3:select=random",
    "single",
    "co:glimpses=2",
    "bilinear:glimpses=2",
    "bilinear:glimpses=2:joint=concatenation",
    "bilinear:dropout=true",
]
SETS = ["0000", "0010", "1000", "1010"]
ROWS = torch.tensor([1, 0, 1])


def stood(word):
    (part,) = Word.parse(word).parts
    site = replace(SITE, places=(Place.POOL, Place.ATTENTION))
    return part, made(word, site.at(part.place(site))).double()


def given(word):
    """The module, words, two images' cells, and masks by question as the module takes them."""
    _, module = stood(word)
    words, cells, no_word, no_cell = padded()
    masks = {"key_padding_mask": no_cell[ROWS]}
    if word not in SETS:
        masks["query_padding_mask"] = no_word
    return module, words, cells[:2], masks


@pytest.mark.parametrize("word", [*POOLS, *SETS])
def test_it_is_what_each_with_its_own_cells_gives(word):
    module, words, cells, masks = given(word)
    assert module.shares_memory
    weights = torch.randn(3, 1, 1, dtype=torch.float64)
    found = []
    for inputs, rows in (((words, cells), {"memory_rows": ROWS}), ((words, cells[ROWS]), {})):
        one, other = (x.clone().requires_grad_() for x in inputs)
        out = module(one, other, **masks, **rows)
        ours = (one, other, *module.parameters())
        loss = (weights * out.view(3, -1, out.shape[-1])).sum()
        gradients = torch.autograd.grad(loss, ours, allow_unused=True, materialize_grads=True)
        found.append((out, *gradients))
    shared, own = found
    of_own = torch.zeros_like(cells).index_add(0, ROWS, own[2])
    torch.testing.assert_close(shared, (*own[:2], of_own, *own[3:]), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("word", [*POOLS, *SETS])
def test_weights_and_energies_are_the_same(word):
    module, words, cells, masks = given(word)
    masks = masks["key_padding_mask"], masks.get("query_padding_mask")
    part = module.mechanism
    shared = part.weights(module, words, cells, *masks, ROWS)
    own = part.weights(module, words, cells[ROWS], *masks)
    torch.testing.assert_close(shared, own)
    if not part.no_energies():
        energies = part.energies(module, words, cells, *masks, ROWS)
        torch.testing.assert_close(energies, part.energies(module, words, cells[ROWS], *masks))


def test_in_training_what_is_dropped_before_a_layer_is_shared_and_behind_it_is_not():
    module, words, cells, masks = given("bilinear:dropout=true")
    seen = {}
    for name, layer in module.train().named_modules():
        if isinstance(layer, nn.Dropout):
            hook = lambda _, inputs, out, name=name: seen.update({name: len(inputs[0])})  # noqa: E731
            layer.register_forward_hook(hook)
    module(words, cells, **masks, memory_rows=ROWS)
    assert (seen["key.0"], seen["glimpses.0.key.0"]) == (2, 2)
    assert (seen["drop_cells"], seen["query.0"]) == (3, 3)


def test_gradients_of_rows_are_those_of_indexing():
    x = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    rows = torch.tensor([2, 0, 2, 2])
    assert torch.autograd.gradcheck(lambda x: by_row(x, rows), (x,))
    seed = torch.randn(4, 2, 4, dtype=torch.float64)
    (found,) = torch.autograd.grad(by_row(x, rows), x, seed)
    (expected,) = torch.autograd.grad(x[rows], x, seed)
    torch.testing.assert_close(found, expected)
    assert not found[1].any()  # nobody looks at it
    assert by_row(x, None) is x


@pytest.mark.parametrize("word", ["soft", "bilinear"])
def test_it_compiles_into_one_graph(word):
    module, words, cells, masks = given(word)
    whole = torch.compile(module, fullgraph=True, backend="aot_eager")
    inputs = (words, cells.requires_grad_())
    gradients = []
    for call in (module, whole):
        out = call(*inputs, **masks, memory_rows=ROWS)
        gradients += torch.autograd.grad(out.square().sum(), cells)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("word", [*POOLS, "1000", "1010"])
def test_what_reads_cells_reads_each_image_once(word):
    module, words, cells, masks = given(word)
    read = []
    for layer in module.modules():
        if isinstance(layer, nn.Linear) and layer.in_features == CELL_CHANNELS:
            layer.register_forward_hook(lambda _, inputs, out: read.append(len(inputs[0])))
    product = nn.functional.linear

    def counted(x, weight, bias=None):
        if weight.shape[1] == CELL_CHANNELS:
            read.append(x.numel() // (CELL_CHANNELS * cells.shape[1]))
        return product(x, weight, bias)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(nn.functional, "linear", counted)
        module(words, cells, **masks, memory_rows=ROWS)
    assert read
    assert set(read) == {2}
