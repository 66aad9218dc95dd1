"""Selective kernels, against a loop over the formula and the convolution that they replace."""

import math

import pytest
import torch
import torch.nn.functional as F

from plugins.attention.core.cost import count
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import parts_at
from plugins.attention.core.word import Word
from plugins.attention.maps.gates.selective_kernel import SelectiveKernel2d

from .made import CHANNELS, made

SHAPES = [
    {},
    {"stride": 2, "out_channels": 40},
    {"dilation": 2, "padding": 2, "bias": True},
    {"kernel_size": 5, "padding": 2},
]


def spread(weight, times):
    """The kernel with zeros between its taps, as a dilation leaves them."""
    size = times * (weight.shape[-1] - 1) + 1
    wide = weight.new_zeros(*weight.shape[:2], size, size)
    wide[..., ::times, ::times] = weight
    return wide


def by_the_formula(module, x, stride, dilation):
    """Li et al. 2019, (1) to (6), a channel at a time."""
    convolved = []
    for number, kernel in enumerate([module, *module.wider], 1):
        wide = spread(kernel.weight, number * dilation)
        # What a kernel of odd size needs, beyond what its padding adds or lacks.
        convolved.append(
            F.conv2d(x[None], wide, kernel.bias, stride, padding=wide.shape[-1] // 2)[0]
        )
    first, norm, _, last = module.select
    squeezed = first.weight @ sum(convolved).mean((1, 2))
    normal = (squeezed - squeezed.mean()) / (squeezed.var(correction=0) + norm.eps).sqrt()
    z = (norm.weight * normal + norm.bias).clamp(min=0)
    channels, branches = len(convolved[0]), len(convolved)
    out, gates = torch.zeros_like(convolved[0]), x.new_empty(branches, channels)
    for channel in range(channels):
        rows = [branch * channels + channel for branch in range(branches)]
        logits = [(last.weight[row] @ z + last.bias[row]).item() for row in rows]
        total = sum(map(math.exp, logits))
        for branch in range(branches):
            gates[branch, channel] = math.exp(logits[branch]) / total
            out[channel] += gates[branch, channel] * convolved[branch][channel]
    return out, gates


@pytest.mark.parametrize("branches", [2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_is_its_formula(shape, branches):
    word = "selective_kernel" if branches == 2 else f"selective_kernel:branches={branches}"
    module = made(word, **shape).double()
    x = torch.randn(2, CHANNELS, 7, 10, dtype=torch.float64)
    found = module.mechanism.weights(module, x)
    assert list(found) == [f"gate_{number}" for number in range(1, branches + 1)]
    for image in range(2):
        step, dilation = shape.get("stride", 1), shape.get("dilation", 1)
        out, gates = by_the_formula(module, x[image], step, dilation)
        torch.testing.assert_close(module(x)[image], out, rtol=1e-10, atol=1e-12)
        for ours, theirs in zip(found.values(), gates, strict=True):
            torch.testing.assert_close(ours[image], theirs)


@pytest.mark.parametrize("branches", [2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_starts_as_the_convolution_whose_weight_it_gets(shape, branches):
    shape = {
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "kernel_size": 3,
        "padding": 1,
    } | shape
    torch.manual_seed(0)
    plain = torch.nn.Conv2d(**{"bias": False} | shape)
    torch.nn.init.kaiming_normal_(plain.weight, mode="fan_out", nonlinearity="relu")
    module = SelectiveKernel2d(**shape, branches=branches)
    left = module.load_state_dict(plain.state_dict(), strict=False)
    assert not left.unexpected_keys
    assert not {"weight", "bias"} & {*left.missing_keys}
    x = torch.randn(2, CHANNELS, 9, 12)
    own, expected = module(x), plain(x)
    assert own.shape == expected.shape
    share = 1 / (1 + math.exp(-4))
    assert ((own - share * expected).norm() / expected.norm()) < 2 * (1 - share)
    assert module.gates(module.convolved(x))[:, 0].detach().numpy() == pytest.approx(share)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_it_costs_more_than_the_convolution_what_its_closed_form_says(shape):
    module, x = (
        made("selective_kernel:reduction=1:branches=3", 48, **shape),
        torch.zeros(1, 48, 9, 12),
    )
    site = module.site
    plain = torch.nn.Conv2d(
        **{key: value for key, value in vars(site.convolution).items() if key != "bias"},
        bias=site.convolution.bias,
    )
    form = module.mechanism.cost(
        MapSite(channels=48, convolution=site.convolution, size=tuple(plain(x).shape[-2:]))
    )
    own, before = (count(each, lambda each=each: each(x), []) for each in (module, plain))
    for unit, expected in [("executed_macs", form.macs), ("parameters", form.parameters)]:
        assert own.model[unit] - before.model[unit] == own.mechanism[unit] == expected
    assert own.mechanism["macs"] == form.macs
    if shape == SHAPES[0]:
        assert form.macs == 2 * 9 * 48**2 * 108 + 4 * 48 * 48
        assert str(form) == "18 N C² + 4 C d"


def test_it_stands_beside_attention_and_not_beside_another_convolution():
    site = MapSite(places=(Place.AFTER, Place.INSTEAD), channels=8)
    assert {place.name for place in parts_at(Word.parse("0010+selective_kernel"), site)} == {
        "AFTER",
        "INSTEAD",
    }
    with pytest.raises(ValueError, match="would stand instead of the 3x3 convolution"):
        parts_at(Word.parse("selective_kernel+deformable"), site)


def test_what_cannot_be_dilated_or_chosen_from_is_refused():
    for size in (1, 4):
        with pytest.raises(ValueError, match=f"has 3, 5, 7, ... taps an axis, not {size}"):
            made("selective_kernel", kernel_size=size)
    with pytest.raises(ValueError, match="branches=1: "):
        Word.parse("selective_kernel:branches=1")
