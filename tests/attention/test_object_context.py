"""Object context, in its three forms, against loops over its formula."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from mmengine.model import Sequential
from torch import nn

from plugins.attention.core.cost import count
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import build
from plugins.attention.core.word import Word

FORMS = ["base", "pyramid", "asp"]
CHANNELS = 8
SITE = MapSite(places=(Place.BACKBONE,), channels=CHANNELS)
every_form = pytest.mark.parametrize("form", FORMS)


def word(form):
    return "object_context" if form == "base" else f"object_context:form={form}"


def made(form, site=SITE, learned=True):
    """The block, with all its weights at random; it evaluates."""
    torch.manual_seed(0)
    (part,) = Word.parse(word(form)).parts
    block = build(part, site)
    if learned:
        for module in block.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.running_mean, std=0.3)
                nn.init.uniform_(module.running_var, 0.5, 2)
        for parameter in block.parameters():
            nn.init.normal_(parameter, std=0.4)
    return block.eval()


def through(layers, x, dilation=1):
    """A convolution, normalised by its statistics, and a leaky ReLU, written out."""
    conv, norm, _ = layers
    taps = conv.weight.shape[-1]
    out = F.conv2d(x, conv.weight, padding=dilation * (taps // 2), dilation=dilation)
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    out = (out - norm.running_mean[:, None, None]) * scale[:, None, None]
    out = out + norm.bias[:, None, None]
    return torch.where(out > 0, out, 0.01 * out)


def context(attention, x, parts=((None, None),)):
    """W of the means over a block, a query at a time, and the weights (queries, keys)."""
    (image,) = x
    feature = through(attention.key, x)[0]
    value = torch.einsum("dc,chw->dhw", attention.value.weight[:, :, 0, 0], image)
    value = value + attention.value.bias[:, None, None]
    height, width = image.shape[-2:]
    mean, shown = torch.zeros_like(value), x.new_zeros(height, width, height, width)
    for rows, columns in parts:
        where = [(r, c) for r in rows or range(height) for c in columns or range(width)]
        for r, c in where:
            energies = [
                (feature[:, r, c] @ feature[:, i, j]).item() / math.sqrt(len(feature))
                for i, j in where
            ]
            total = sum(math.exp(energy) for energy in energies)
            for energy, (i, j) in zip(energies, where, strict=True):
                shown[r, c, i, j] = math.exp(energy) / total
                mean[:, r, c] += shown[r, c, i, j] * value[:, i, j]
    out = torch.einsum("od,dhw->ohw", attention.out.weight[:, :, 0, 0], mean)
    return (out + attention.out.bias[:, None, None])[None], shown


def by_the_formula(block, form, x):
    """The output for one image, and the weights (maps, H, W, H, W)."""
    height, width = x.shape[-2:]
    if form == "base":
        found, shown = context(block.context, x)
        return through(block.fuse[0], torch.cat([found, x], dim=1)), shown[None]
    if form == "asp":
        narrow = F.max_pool2d(through(block.narrow, x), 2)
        found, shown = context(block.context, narrow)
        found = F.interpolate(found, (height, width), mode="bilinear", align_corners=True)
        beside = [
            through(branch, x, dilation)
            for branch, dilation in zip(block.branches, (1, 12, 24, 36), strict=True)
        ]
        stacked = torch.cat([through(block.shown, found), *beside], dim=1)
        return through(block.fuse[0], stacked), shown[None]
    found, weights = [], []
    for attention, number in zip(block.contexts, (1, 2, 3, 6), strict=True):

        def ranges(length, number=number):
            step = length // number
            starts = [step * i for i in range(number)] if step else [0]
            return [range(a, b) for a, b in zip(starts, [*starts[1:], length], strict=True)]

        parts = [(rows, columns) for rows in ranges(height) for columns in ranges(width)]
        one, shown = context(attention, x, parts)
        found.append(one)
        weights.append(shown)
    stacked = torch.cat([through(block.up, x), *found], dim=1)
    return through(block.fuse[0], stacked), torch.stack(weights)


@pytest.mark.parametrize("size", [(7, 4), (5, 8)], ids=str)
@every_form
def test_it_is_its_formula(form, size):
    block = made(form).double()
    x = torch.randn(2, CHANNELS, *size, dtype=torch.float64)
    queries = [(0, 0), (size[0] - 1, size[1] - 1), (2, 3)]
    weights = block.mechanism.weights(block, x, queries=queries)["weights"]
    out = block(x)
    for image in range(2):
        expected, shown = by_the_formula(block, form, x[image : image + 1])
        torch.testing.assert_close(out[image : image + 1], expected, rtol=1e-10, atol=1e-12)
        for number, (row, column) in enumerate(queries):
            if form == "asp":
                row, column = (min(row // 2, size[0] // 2 - 1), min(column // 2, size[1] // 2 - 1))
            torch.testing.assert_close(weights[image, :, number], shown[:, row, column])
    with pytest.raises(ValueError, match="outside of the map"):
        block.mechanism.weights(block, x, queries=[(size[0], 0)])


@pytest.mark.parametrize("size", [(6, 10), (7, 4), (13, 15)], ids=str)
@every_form
def test_it_multiplies_and_learns_what_its_closed_form_says(form, size):
    (part,) = Word.parse(word(form)).parts
    form_of = part.cost(replace(SITE, size=size))
    found = []
    for device in ("cpu", "meta"):
        with torch.device(device):
            block, x = made(form, learned=False), torch.zeros(3, CHANNELS, *size)
        found.append(count(block, lambda b=block, x=x: b(x), [CHANNELS, *size], inputs=3))
    assert found[0].mechanism == found[1].mechanism
    assert found[0].model == found[1].model
    cost = found[0].mechanism
    assert cost["executed_macs"] == cost["macs"] == form_of.macs
    assert cost["parameters"] == form_of.parameters
    (height, width), n, c = size, size[0] * size[1], CHANNELS
    keys = (height // 2) * (width // 2) if form == "asp" else n
    pairs = keys**2
    if form == "pyramid":
        pairs = sum(block_pairs(height, grid) * block_pairs(width, grid) for grid in (1, 2, 3, 6))
    symbols = {"N": n, "C": c, "D": c // 2, "K": keys, "P": pairs}
    python = str(form_of).replace("²", "**2").replace(" + ", "+").replace(" ", "*")
    assert eval(python, {}, symbols) == form_of.macs


def block_pairs(length, number):
    """Pairs of an axis's positions in the same of `number` blocks."""
    ends = [length // number * i for i in range(1, number)]
    block = [sum(position >= end for end in ends) for position in range(length)]
    return sum(a == b for a in block for b in block)


@every_form
def test_its_gradients_are_those_of_finite_differences(form):
    block = made(form).double()
    x = torch.randn(2, CHANNELS, 4, 5, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in block.named_parameters()]

    def run(x, *parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(block, given, (x,))

    for training in (False, True):
        for module in block.modules():  # what is dropped would be drawn anew
            module.train(training and not isinstance(module, nn.Dropout2d))
        assert torch.autograd.gradcheck(run, (x, *block.parameters()), fast_mode=True)


@every_form
def test_images_of_a_batch_and_their_layout_in_memory_change_nothing(form):
    block, x = made(form), torch.randn(3, CHANNELS, 5, 8)
    out = block(x)
    torch.testing.assert_close(torch.cat([block(image[None]) for image in x]), out)
    last = copy.deepcopy(block).to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x.contiguous(memory_format=torch.channels_last)), out)
    for size in [(1, 3), (1, 1)]:
        assert block(torch.randn(1, CHANNELS, *size)).shape == (1, CHANNELS, *size)
    alone = x[:1].clone().requires_grad_()
    block.train()(alone).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in (alone, *block.parameters()))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@every_form
def test_in_half_precision_it_is_near_single(form, kind):
    block = made(form)
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.2)
    x = torch.randn(2, CHANNELS, 9, 14)
    expected = block(x)
    with torch.autocast("cpu", dtype=kind):
        out = block(x)
    assert out.isfinite().all()
    tolerance = 0.05 if kind is torch.bfloat16 else 0.01
    assert (out.float() - expected).std() < tolerance * expected.std()


@every_form
def test_large_energies_stay_finite_in_half_precision(form):
    block = made(form)
    with torch.autocast("cpu", dtype=torch.float16):
        assert block((300 * torch.randn(1, CHANNELS, 6, 9)).half()).isfinite().all()


@every_form
def test_it_compiles_into_one_graph(form):
    block, x = made(form), torch.randn(2, CHANNELS, 7, 8)
    torch._dynamo.reset()
    compiled = torch.compile(copy.deepcopy(block), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), block(x))
    torch._dynamo.reset()


@every_form
def test_a_context_starts_at_nothing_even_after_a_network_has_initialised_its_layers(form):
    block = made(form, learned=False)
    kaiming = {"type": "Kaiming", "layer": "Conv2d"}
    Sequential(block, init_cfg=[kaiming]).init_weights()
    x = torch.randn(2, CHANNELS, 6, 7)
    attentions = block.contexts if form == "pyramid" else [block.context]
    assert all((attention(x[:, : attention.key[0].in_channels]) == 0).all()
               for attention in attentions)  # fmt: skip
    optimizer = torch.optim.SGD(block.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (block(x) - x.flip(3)).square().mean().backward()
        optimizer.step()
    assert all((attention.out.weight != 0).any() for attention in attentions)


def test_where_it_would_spoil_pretrained_weights_it_is_refused():
    (part,) = Word.parse("object_context").parts
    for place in (Place.AFTER, Place.BACKBONE):
        assert part.place(MapSite(places=(place,))) is place
    with pytest.raises(ValueError, match=r"does not start as the identity.* 'head'"):
        part.check(MapSite(places=(Place.AFTER,), channels=8, pretrained=True))
    part.check(SITE)
    (asp,) = Word.parse("object_context:form=asp").parts
    with pytest.raises(ValueError, match="of 3 channels keys have none; there must be 4"):
        asp.check(replace(SITE, channels=3))
    with pytest.raises(ValueError, match="form=atrous: "):
        Word.parse("object_context:form=atrous")
