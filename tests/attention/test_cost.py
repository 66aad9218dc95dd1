import mmcv.ops
import pytest
import torch
from torch import nn

from plugins.attention import DeformableConv2d, DynamicConv2d, GeneralizedAttention2d
from plugins.attention.cost import count
from plugins.attention.mechanism import TERM_SETS


class Net(nn.Module):
    """A convolution, a mechanism, a convolution."""

    def __init__(self, mechanism):
        super().__init__()
        self.before = nn.Conv2d(3, 16, 3, padding=1)
        self.mechanism = mechanism
        self.after = nn.Conv2d(16, 5, 1)

    def forward(self, x):
        return self.after(self.mechanism(self.before(x)))


def cost_of(mechanism, size=(6, 10)):
    net, x = Net(mechanism), torch.zeros(1, 3, *size)
    return count(net, lambda: net(x), [3, *size])


@pytest.mark.parametrize("terms", TERM_SETS)
def test_macs_are_the_sum_of_the_formulas_products(terms):
    """Products by hand, 16 channels, 4 heads of 4, 6x10 queries, 3x5 keys, 16 sinusoids."""
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    c, queries, keys, heads, d = 16, 60, 15, 4, 4
    width, key_width, height, key_height = 10, 5, 6, 3
    varies = e1 or e2 or e4  # over the queries
    expected = keys * c * c  # values
    expected += (queries if varies else 1) * c * c  # output projection
    expected += (queries if varies else 1) * keys * c  # weights times values
    expected += queries * c * c if e1 or e2 else 0  # queries
    expected += keys * c * c if e1 or e3 else 0  # keys
    expected += (queries if e1 else 1) * keys * heads * d if e1 or e3 else 0
    if e2 or e4:
        expected += (width * key_width + height * key_height) * (c // 2) * c  # project positions
        expected += queries * (key_width + key_height) * heads * d
    cost = cost_of(GeneralizedAttention2d(c, heads, terms))
    assert cost.mechanism["macs"] == expected
    assert cost.model["macs"] == expected + queries * (27 * 16 + 16 * 5)


@pytest.mark.parametrize("terms", TERM_SETS)
def test_parameters_are_counted_in_the_mechanism_and_in_the_whole(terms):
    mechanism = GeneralizedAttention2d(16, 4, terms)
    own = sum(parameter.numel() for parameter in mechanism.parameters())
    cost = cost_of(mechanism)
    assert cost.mechanism["parameters"] == own
    assert cost.model["parameters"] == own + (27 * 16 + 16) + (16 * 5 + 5)


def test_deformable_costs_its_offsets_more_than_the_plain_convolution():
    plain = cost_of(nn.Conv2d(16, 16, 3, padding=1, bias=False))
    deformable = cost_of(DeformableConv2d(16, 16))
    for unit in ("macs", "parameters"):
        assert deformable.model[unit] - plain.model[unit] == deformable.mechanism[unit] > 0
    assert deformable.mechanism["macs"] == 60 * 9 * 16 * 18


def test_dynamic_convolution_by_hand():
    cost = cost_of(DynamicConv2d(16, 4, 3))
    assert cost.mechanism["macs"] == 60 * (16 * 16 * 2 + 16 * 4 * 9 + 9 * 16)


def test_fused_attention_and_mmcvs_deformable_convolution_are_counted_too():
    q = torch.randn(1, 2, 7, 4)

    class Fused(nn.Module):
        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(x, x, x)

    fused = Fused()
    assert count(fused, lambda: fused(q), [2, 7, 4]).model["macs"] == 2 * (2 * 7 * 7 * 4)
    conv = mmcv.ops.DeformConv2dPack(4, 6, 3, padding=1)
    x = torch.randn(1, 4, 5, 5)
    expected = 25 * 9 * 4 * (6 + 18)
    assert count(conv, lambda: conv(x), [4, 5, 5]).model["macs"] == expected


def test_uncounted_operators_are_listed_with_their_size():
    cost = cost_of(GeneralizedAttention2d(16, 4, "1000"))
    assert cost.uncounted["aten._softmax"] == 4 * 60 * 15
    assert "aten.convolution" not in cost.uncounted
    assert "aten.view" not in cost.uncounted
    assert "aten.grid_sampler_2d" in cost_of(DeformableConv2d(16, 16)).uncounted


def test_a_mechanism_within_a_mechanism_is_counted_once():
    inner = GeneralizedAttention2d(16, 4, "1000")
    outer = nn.Sequential(inner)
    outer.is_mechanism = True
    assert cost_of(outer).mechanism == cost_of(inner).mechanism


def test_counting_leaves_the_model_as_it_was():
    net = Net(GeneralizedAttention2d(16))
    net.train()
    count(net, lambda: net(torch.zeros(1, 3, 4, 4)), [3, 4, 4])
    assert net.training
    assert not net.mechanism._forward_hooks
