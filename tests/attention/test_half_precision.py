"""In half precision only products are rounded: positions stay exact, however far they reach.

Each module is compared with itself in float32, with the same rounded weights and inputs; where its
offsets are whole numbers, with torch's own convolution.
"""

import copy

import pytest
import torch
import torch.nn.functional as F

from plugins.attention import (
    DeformableConv1d,
    DeformableConv2d,
    DynamicConv1d,
    DynamicConv2d,
    GeneralizedAttention1d,
    GeneralizedAttention2d,
)

MAPS = [(50, 84), (100, 168), (32, 200)]
HALVES = [torch.bfloat16, torch.float16]
CHANNELS = 16


def rounded(module, x, kind):
    """The module and the input in float32, with numbers that half precision has too."""
    module = copy.deepcopy(module).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(parameter.to(kind))
    return module, x.to(kind).float()


@torch.no_grad()
def in_half(module, x, kind, how):
    """What the module gives in half precision, by autocast or as a module of that type."""
    if how == "autocast":
        with torch.autocast("cpu", dtype=kind):
            return module(x).float()
    return copy.deepcopy(module).to(kind)(x.to(kind)).float()


def deviation(found, expected):
    """The largest one, and the mean one, as shares of the values' spread."""
    difference = (found - expected).abs() / expected.std()
    return difference.max().item(), difference.mean().item()


@pytest.mark.parametrize("how", ["autocast", "module"])
@pytest.mark.parametrize("kind", HALVES, ids=str)
@pytest.mark.parametrize("size", MAPS, ids=str)
def test_a_deformable_convolution_without_offsets_rounds_as_a_plain_one(size, kind, how):
    torch.manual_seed(0)
    module, x = rounded(DeformableConv2d(CHANNELS, 32), torch.randn(1, CHANNELS, *size), kind)
    plain = torch.nn.Conv2d(CHANNELS, 32, 3, padding=1, bias=False)
    plain.weight = module.weight
    expected = F.conv2d(x, module.weight, padding=1)
    largest, mean = deviation(in_half(module, x, kind, how), expected)
    allowed, usual = deviation(in_half(plain, x, kind, how), expected)
    # As much again, for columns that are rounded once more.
    assert largest <= 2 * allowed
    assert mean <= 2 * usual


@pytest.mark.parametrize("kind", HALVES, ids=str)
@pytest.mark.parametrize("size", MAPS, ids=str)
def test_a_deformable_convolution_moves_by_exactly_as_many_pixels_as_told(size, kind):
    torch.manual_seed(1)
    module, x = rounded(DeformableConv2d(CHANNELS, 32), torch.randn(1, CHANNELS, *size), kind)
    rows, columns = 9, -7
    with torch.no_grad():
        module.conv_offset.bias.copy_(torch.tensor([rows, columns]).repeat(9))
    moved = F.pad(x, (-columns, columns, -rows, rows))
    # Beyond the edge the moved map has zeros as the convolution's own padding has.
    expected = F.conv2d(F.pad(x, [20] * 4), module.weight)
    top, left = 20 + rows - 1, 20 + columns - 1
    expected = expected[..., top : top + size[0], left : left + size[1]]
    assert moved.shape == x.shape
    assert deviation(in_half(module, x, kind, "autocast"), expected)[0] < 0.05


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", HALVES, ids=str)
def test_a_deformable_convolution_of_a_long_sequence_rounds_as_a_plain_one(kind, causal):
    torch.manual_seed(2)
    made = DeformableConv1d(CHANNELS, 3, causal)
    module, x = rounded(made, torch.randn(1, 3001, CHANNELS), kind)
    padded = F.pad(x.mT, (2, 0) if causal else (1, 1))
    expected = F.conv1d(padded, module.weight, module.bias).mT
    for how in ("autocast", "module"):
        assert deviation(in_half(module, x, kind, how), expected)[0] < 0.05
    with torch.no_grad():
        module.offset_linear.bias.fill_(-5)
    expected = F.conv1d(F.pad(padded, (5, 0))[..., :-5], module.weight, module.bias).mT
    for how in ("autocast", "module"):
        inside = slice(10, -10)
        found = in_half(module, x, kind, how)
        assert deviation(found[:, inside], expected[:, inside])[0] < 0.05


def attention_2d(terms, **options):
    module = GeneralizedAttention2d(CHANNELS, 2, terms, **options)
    torch.nn.init.constant_(module.gamma, 1.0)
    return module


def dynamic_2d():
    module = DynamicConv2d(CHANNELS, 2)
    torch.nn.init.constant_(module.gamma, 1.0)
    return module


ON_MAPS = {
    "dynamic": dynamic_2d,
    "content and position": lambda: attention_2d("0100", kv_stride=1),
    "position": lambda: attention_2d("0001", kv_stride=1),
    "all, strided": lambda: attention_2d("1111", kv_stride=2),
    "window": lambda: attention_2d("0101", spatial_range=5, kv_stride=1),
}
ON_SEQUENCES = {
    "dynamic": lambda: DynamicConv1d(CHANNELS, 2),
    "causal dynamic": lambda: DynamicConv1d(CHANNELS, 2, causal=True),
    "position": lambda: GeneralizedAttention1d(CHANNELS, 2, "0001"),
    "content and position": lambda: GeneralizedAttention1d(CHANNELS, 2, "0110"),
}


@pytest.mark.parametrize("how", ["autocast", "module"])
@pytest.mark.parametrize("kind", HALVES, ids=str)
@pytest.mark.parametrize("name", ON_MAPS)
def test_on_a_wide_map_positions_are_those_of_single_precision(name, kind, how):
    torch.manual_seed(3)
    module, x = rounded(ON_MAPS[name](), torch.randn(1, CHANNELS, 8, 300), kind)
    with torch.no_grad():
        expected = module(x) - x
    found = in_half(module, x, kind, how) - x
    assert deviation(found, expected)[1] < 0.1


@pytest.mark.parametrize("how", ["autocast", "module"])
@pytest.mark.parametrize("kind", HALVES, ids=str)
@pytest.mark.parametrize("name", ON_SEQUENCES)
def test_in_a_long_sequence_positions_are_those_of_single_precision(name, kind, how):
    torch.manual_seed(4)
    module, x = rounded(ON_SEQUENCES[name](), torch.randn(1, 700, CHANNELS), kind)
    with torch.no_grad():
        expected = module(x)
    assert deviation(in_half(module, x, kind, how), expected)[1] < 0.1
