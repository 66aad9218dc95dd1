"""What holds for every gate on feature maps, in each of its forms."""

from dataclasses import replace

import pytest
import torch

from plugins.attention.core.cost import count
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import build, cost_at
from plugins.attention.core.word import Word

from .made import CHANNELS, made

ON_MAPS = [
    "cbam",
    "cbam:reduction=2:kernel=3",
    "gather_excite",
    "gather_excite:extent=2",
    "gather_excite:parameters=some:extent=4",
    "gather_excite:parameters=plus:extent=2",
    "residual_attention",
    "residual_attention:levels=2",
]
EVERY = [*ON_MAPS, "selective_kernel", "selective_kernel:branches=3"]


@pytest.mark.parametrize("word", [word for word in ON_MAPS if made(word).state_dict()])
def test_it_starts_near_the_identity_whatever_it_sees(word):
    module = made(word, learned=False)
    for x in (torch.randn(2, CHANNELS, 5, 8), 1e3 * torch.rand(1, CHANNELS, 6, 4)):
        for training in (True, False):
            out = module.train(training)(x)
            assert (out - x).abs().max() <= 0.04 * x.abs().max()


@pytest.mark.parametrize("word", EVERY)
def test_its_gradients_are_those_of_finite_differences(word):
    module = made(word).double()
    x = torch.randn(2, CHANNELS, 3, 5, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in module.named_parameters()]

    def gated(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(module, given, (x,))

    for training in (True, False):
        module.train(training)
        assert torch.autograd.gradcheck(gated, (x, *module.parameters()), fast_mode=True)


@pytest.mark.parametrize("size", [(6, 10), (7, 4)], ids=str)
@pytest.mark.parametrize("word", EVERY)
def test_it_multiplies_what_its_closed_form_says(word, size):
    module, x = made(word, 32), torch.randn(3, 32, *size)
    form = cost_at(Word.parse(word), MapSite(places=tuple(Place), channels=32, size=size))
    cost = count(module, lambda: module(x), [32, *size], inputs=3)
    assert cost.mechanism["executed_macs"] == cost.mechanism["macs"] == form.macs
    assert cost.mechanism["parameters"] == form.parameters


@pytest.mark.parametrize("word", EVERY)
def test_an_image_is_gated_as_if_it_were_alone(word):
    module, x = made(word).eval(), torch.randn(3, CHANNELS, 5, 8)
    torch.testing.assert_close(module(x[1:2]), module(x)[1:2])
    alone = x[:1].clone().requires_grad_()
    module.train()(alone).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in (alone, *module.parameters()))


@pytest.mark.parametrize("word", EVERY)
def test_the_layout_in_memory_changes_nothing(word):
    module, x = made(word), torch.randn(2, CHANNELS, 5, 8)
    out = module(x.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(out, module(x))
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("word", EVERY)
def test_in_half_precision_it_is_nearly_the_same(word, kind):
    module, x = made(word), torch.randn(2, CHANNELS, 9, 14).to(kind).float()
    expected = module(x)
    with torch.autocast("cpu", dtype=kind):
        out = module(x.to(kind))
    assert out.dtype == kind
    difference = (out.float() - expected).abs()
    assert difference.max() <= 16 * torch.finfo(kind).eps * max(x.abs().max(), expected.abs().max())


@pytest.mark.parametrize("word", EVERY)
def test_it_compiles_into_one_graph(word):
    module, x = made(word).eval(), torch.randn(2, CHANNELS, 5, 8)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), module(x))


@pytest.mark.parametrize("word", ON_MAPS)
def test_it_stands_where_the_others_stand_and_where_its_paper_has_it(word):
    part = Word.parse(word).parts[0]
    every = MapSite(places=tuple(Place), channels=CHANNELS, branch_channels=24)
    assert part.place(every) is Place.AFTER
    branch = replace(every, places=(Place.INSTEAD, Place.BRANCH))
    module = build(part, branch.at(part.place(branch)))
    assert module(torch.randn(1, 24, 3, 5)).shape == (1, 24, 3, 5)
