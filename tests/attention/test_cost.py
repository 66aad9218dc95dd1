import itertools
import math
import re

import mmcv.ops
import pytest
import torch
from torch import nn

from plugins.attention import (
    DeformableConv1d,
    DeformableConv2d,
    DynamicConv2d,
    GeneralizedAttention1d,
    GeneralizedAttention2d,
)
from plugins.attention.core.cost import count
from plugins.attention.core.position import relative_sinusoid
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels import taps
from plugins.attention.maps import cost as on_maps
from plugins.attention.sequences import cost as in_sequences
from plugins.attention.sequences.dynamic import GatedDynamicConv1d

# Multiply-accumulates (10⁹) and parameters (10⁶) of the block in conv4 (50x84, 256 channels, six
# blocks) and conv5 (25x42, 512 channels, three) of a ResNet-50 that sees 800x1344 pixels, with 8
# heads and kv_stride 2: arithmetic by hand from what mmcv's module multiplies.
RESNET_50 = {
    "0000": ("10.32", "2.362"), "1000": ("20.64", "4.722"),
    "0001": ("11.74", "3.545"), "1001": ("22.06", "5.904"),
    "0010": ("1.26", "3.545"), "1010": ("20.64", "4.725"),
    "0011": ("12.37", "4.728"), "1011": ("22.06", "5.907"),
    "0100": ("14.70", "4.722"), "1100": ("22.54", "5.901"),
    "0101": ("14.70", "4.725"), "1101": ("22.54", "5.904"),
    "0110": ("15.33", "5.904"), "1110": ("22.54", "5.904"),
    "0111": ("15.33", "5.907"), "1111": ("22.54", "5.907"),
}  # fmt: skip


class Net(nn.Module):
    """A convolution, a mechanism, a convolution."""

    def __init__(self, mechanism):
        super().__init__()
        self.before = nn.Conv2d(3, 16, 3, padding=1)
        self.mechanism = mechanism
        self.after = nn.Conv2d(16, 5, 1)

    def forward(self, x):
        return self.after(self.mechanism(self.before(x)))


AROUND = 27 * 16 + 16 * 5  # MACs a position of its two convolutions


def cost_of(mechanism, size=(6, 10), batch=1):
    net, x = Net(mechanism), torch.zeros(batch, 3, *size)
    return count(net, lambda: net(x), [3, *size], inputs=batch)


def executed(module, forward):
    return count(module, forward, []).model["executed_macs"]


def block_cost(block, size):
    names = ("heads", "terms", "kv_stride", "q_stride", "spatial_range", "position_dim")
    arguments = {name: getattr(block, name) for name in names}
    return on_maps.generalized(size, block.channels, **arguments)


@pytest.mark.parametrize("terms", TERM_SETS)
def test_the_closed_form_gives_the_table_of_resnet_50(terms):
    def at(size, channels):
        return on_maps.generalized(size, channels, heads=8, terms=terms, kv_stride=2)

    conv4, conv5 = at((50, 84), 256), at((25, 42), 512)
    macs = (6 * conv4.macs + 3 * conv5.macs) / 1e9
    parameters = (6 * conv4.parameters + 3 * conv5.parameters) / 1e6
    assert (f"{macs:.2f}", f"{parameters:.3f}") == RESNET_50[terms]
    assert all(type(number) is int for number in (conv4.macs, conv4.parameters))


@pytest.mark.parametrize(("kv_stride", "q_stride"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_dense_2d_attention_multiplies_what_the_closed_form_says(terms, kv_stride, q_stride):
    for channels, heads, size in [(16, 4, (6, 10)), (20, 3, (7, 5))]:
        block = GeneralizedAttention2d(channels, heads, terms, kv_stride, q_stride)
        x, form = torch.zeros(1, channels, *size), block_cost(block, size)
        assert form.macs == executed(block, lambda block=block, x=x: block.dense(x))
        assert form.parameters == sum(parameter.numel() for parameter in block.parameters())


def dense_sequence(block, query, memory, causal):
    """Every energy of every pair, multiplied out; one query for all if they cannot differ."""
    e1, e2, e3, e4 = (bit == "1" for bit in block.terms)
    by_head = (block.heads, block.head_dim)
    queries = 1 if block.terms == "0010" and not causal else query.shape[1]
    energy = torch.zeros(block.heads, queries, memory.shape[1])
    q = block.q_proj(query)[0].unflatten(-1, by_head) if e1 or e2 else torch.zeros(())
    if e1 or e3:
        k = block.k_proj(memory)[0].unflatten(-1, by_head)
        u = block.appr_bias.view(by_head) if e3 else 0
        letters = "tmd,smd->mts" if e1 else "md,smd->ms"
        content = torch.einsum(letters, q + u if e1 else u, k)
        energy = energy + (content if e1 else content[:, None])
    if e2 or e4:
        offset = torch.arange(query.shape[1])[:, None] - torch.arange(memory.shape[1])
        distinct = torch.arange(offset.min(), offset.max() + 1)
        r = block.appr_geom_fc(relative_sinusoid(distinct, block.position_dim, 10000.0).float())
        r, index = r.unflatten(-1, by_head), offset - offset.min()
        v = block.geom_bias.view(by_head) if e4 else 0
        if e2:
            energy = energy + torch.einsum("tmd,tsmd->mts", q + v, r[index])
        else:
            energy = energy + torch.einsum("md,omd->mo", v, r)[:, index]
    if causal:
        hidden = torch.ones(query.shape[1], memory.shape[1], dtype=torch.bool).triu(1)
        energy = energy.masked_fill(hidden, -math.inf)
    weights = (energy / math.sqrt(block.head_dim)).softmax(dim=-1)
    value = block.v_proj(memory)[0].unflatten(-1, by_head)
    attended = torch.einsum("mts,smd->tmd", weights, value)
    return block.out_proj(attended.flatten(1)).expand(query.shape[1], -1)


@pytest.mark.parametrize(
    ("queries", "keys", "key_channels", "causal"),
    [(7, 7, None, False), (7, 7, None, True), (5, 9, None, False), (9, 5, 12, False)],
    ids=["self", "causal", "cross", "cross-of-other-width"],
)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_dense_1d_attention_multiplies_what_the_closed_form_says(
    terms, queries, keys, key_channels, causal
):
    block = GeneralizedAttention1d(16, 4, terms, key_channels)
    query = torch.randn(1, queries, 16)
    memory = query if queries == keys else torch.randn(1, keys, key_channels or 16)
    form = in_sequences.generalized(
        queries, keys, 16, heads=4, terms=terms, causal=causal, key_channels=key_channels
    )
    assert form.macs == executed(block, lambda: dense_sequence(block, query, memory, causal))
    assert form.parameters == sum(parameter.numel() for parameter in block.parameters())
    expected = block(query, memory, causal=causal)[0]
    torch.testing.assert_close(
        dense_sequence(block, query, memory, causal), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("terms", TERM_SETS)
def test_of_a_range_only_the_pairs_within_it_count(terms):
    """Against listing the pairs: 16 channels in 4 heads, keys at every second position."""
    (height, width), c, within = (7, 10), 16, 2
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    rows, columns = (
        [(q, k) for q in range(n) for k in range(0, n, 2) if abs(q - k) <= within]
        for n in (height, width)
    )
    pairs = len(list(itertools.product(rows, columns)))
    queries, keys = height * width, 4 * 5
    expected = keys * c * c + pairs * c + queries * c * c
    expected += queries * c * c if e1 or e2 else 0
    expected += keys * c * c if e1 or e3 else 0
    expected += pairs * c if e1 else keys * c if e3 else 0
    if e2 or e4:
        expected += (len(rows) + len(columns)) * (c // 2) * c
        by_query = len(rows) * width + len(columns) * height
        expected += (by_query if e2 else len(rows) + len(columns)) * c
    block = GeneralizedAttention2d(c, 4, terms, spatial_range=within)
    assert block_cost(block, (height, width)).macs == expected
    wide = GeneralizedAttention2d(c, 4, terms, spatial_range=max(height, width))
    dense = block_cost(GeneralizedAttention2d(c, 4, terms), (height, width)).macs
    if terms != "0010":  # whose queries share their weights only without a range
        assert block_cost(wide, (height, width)).macs == dense


@pytest.mark.parametrize("terms", ["0000", "0010", "0110", "1111"])
def test_a_range_in_a_sequence_counts_pairs_and_offsets_within_it(terms):
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    length, c, within = 9, 16, 3
    pairs = sum(abs(q - k) <= within for q in range(length) for k in range(length))
    expected = 2 * length * c * c + pairs * c
    expected += length * c * c * ((e1 or e2) + (e1 or e3))
    expected += pairs * c if e1 else length * c if e3 else 0
    expected += (2 * within + 1) * c * c + pairs * c if e2 or e4 else 0
    form = in_sequences.generalized(length, length, c, heads=4, terms=terms, spatial_range=within)
    assert form.macs == expected


def test_convolutions_multiply_what_their_closed_forms_say(monkeypatch):
    # The definition: the forms that run multiply elementwise, or with a band that is mostly zeros.
    monkeypatch.setattr("plugins.attention.sequences.dynamic.convolve", taps.unfolded)
    monkeypatch.setattr("plugins.attention.maps.dynamic.convolve2d", taps.unfolded2d)
    x, sequence = torch.zeros(1, 16, 6, 10), torch.zeros(1, 9, 16)
    for module, argument, form in [
        (DynamicConv2d(16, 4, 5), x, on_maps.dynamic((6, 10), 16, heads=4, kernel_size=5)),
        (
            GatedDynamicConv1d(16, 4, 5),
            sequence,
            in_sequences.dynamic(9, 16, heads=4, kernel_size=5),
        ),
        (DeformableConv2d(16, 16, 3).conv_offset, x, on_maps.deformable((6, 10), 16)),
        (DeformableConv1d(16, 3), sequence, in_sequences.deformable(9, 16)),
    ]:
        assert form.macs == executed(module, lambda m=module, x=argument: m(x))
        assert form.parameters == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("terms", TERM_SETS)
def test_the_formula_as_text_gives_the_number(terms):
    size, heads, c = (6, 10), 4, 16
    symbols = {"N": 60, "K": 15, "P": 60 * 15, "C": c, "T": 6 * 3 + 10 * 5}
    symbols["R"] = 6 * 10 * 5 + 10 * 6 * 3
    form = on_maps.generalized(size, c, heads=heads, terms=terms, kv_stride=2)
    assert evaluate(str(form), symbols) == form.macs
    symbols = {"N": 7, "K": 9, "P": 63, "C": c, "T": 7 + 9 - 1}
    form = in_sequences.generalized(7, 9, c, heads=heads, terms=terms)
    assert evaluate(str(form), symbols) == form.macs


def test_the_formulas_of_the_convolutions_give_their_numbers():
    symbols = {"N": 60, "C": 16, "M": 4, "k": 3}
    for form in (
        on_maps.dynamic((6, 10), 16, heads=4, kernel_size=3),
        in_sequences.dynamic(60, 16, heads=4, kernel_size=3),
        on_maps.deformable((6, 10), 16),
        in_sequences.deformable(60, 16),
    ):
        assert evaluate(str(form), symbols) == form.macs


def evaluate(formula, symbols):
    """The value of ``2 N C² + P C``."""
    python = re.sub(r"(?<=[\w²⁴]) (?=\w)", "*", formula).replace("²", "**2").replace("⁴", "**4")
    return eval(python, {}, symbols)


@pytest.mark.parametrize("terms", TERM_SETS)
def test_macs_are_those_of_the_closed_form_beside_those_executed(terms):
    block = GeneralizedAttention2d(16, 4, terms)
    form = block_cost(block, (6, 10))
    for batch in (1, 2):
        cost, x = cost_of(block, batch=batch), torch.zeros(batch, 16, 6, 10)
        assert cost.mechanism["macs"] == form.macs
        alone = executed(block, lambda x=x: block(x))  # images share their positions' encoding
        assert cost.mechanism["executed_macs"] == alone // batch
        for unit in ("macs", "executed_macs"):
            assert cost.model[unit] == cost.mechanism[unit] + 60 * AROUND


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
    for unit in ("macs", "executed_macs", "parameters"):
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
    dense = GeneralizedAttention2d(16, 4, "1000")
    x = torch.zeros(1, 16, 6, 10)
    cost = count(dense, lambda: dense.dense(x), [16, 6, 10])
    assert cost.uncounted["aten._softmax"] == 4 * 60 * 15
    assert "aten.convolution" not in cost.uncounted
    assert "aten.view" not in cost.uncounted
    assert "aten.grid_sampler_2d" in cost_of(DeformableConv2d(16, 16)).uncounted


def test_a_mechanism_within_a_mechanism_is_counted_once():
    inner = GeneralizedAttention2d(16, 4, "0011")
    outer = nn.Sequential(inner)
    outer.is_mechanism = True
    assert cost_of(outer).mechanism == cost_of(inner).mechanism
    assert cost_of(outer).model == cost_of(inner).model


def test_counting_leaves_the_model_as_it_was():
    net = Net(GeneralizedAttention2d(16))
    net.train()
    count(net, lambda: net(torch.zeros(1, 3, 4, 4)), [3, 4, 4])
    assert net.training
    assert not net.mechanism._forward_hooks
    assert not net.mechanism._forward_pre_hooks
