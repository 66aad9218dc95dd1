"""Each cheap form of 1-D attention against the plain dense form, results and gradients."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from plugins.attention import GeneralizedAttention1d
from plugins.attention.core.cost import count
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.sequences import blocked as blocked1d
from plugins.attention.kernels.sequences import forms
from plugins.attention.sequences.dense import dense

CASES = {
    "self": {},
    "causal": {"causal": True},
    "cross": {"cross": True},
    "padded": {"padded": True},
    "causal, padded": {"causal": True, "padded": True},
    "cross, padded": {"cross": True, "padded": True},
    "range": {"spatial_range": 3},
    "range, causal": {"spatial_range": 2, "causal": True},
    "range, padded": {"spatial_range": 2, "padded": True},
    "range, causal, padded": {"spatial_range": 2, "causal": True, "padded": True},
}


def setting(
    terms,
    scale=1.0,
    lengths=(13, 11),
    batch=3,
    channels=8,
    heads=2,
    cross=False,
    padded=False,
    causal=False,
    spatial_range=None,
    dtype=torch.float64,
):
    """A module whose energies have the size `scale`, its inputs and options."""
    torch.manual_seed(0)
    queries, keys = lengths if cross else lengths[:1] * 2
    module = GeneralizedAttention1d(
        channels, heads, terms, key_channels=6 if cross else None, spatial_range=spatial_range
    )
    for name, parameter in module.named_parameters():
        torch.nn.init.normal_(parameter, std=0.5)
        if name in ("q_proj.weight", "appr_bias", "geom_bias"):
            parameter.data *= scale
    query = torch.randn(batch, queries, channels)
    memory = torch.randn(batch, keys, 6) if cross else None
    options = {"causal": causal}
    if padded:
        real = torch.randint(1, keys + 1, (batch, 1))
        real[0] = keys
        options["key_padding_mask"] = torch.arange(keys) >= real
    inputs = [
        None if x is None else x.to(dtype).requires_grad_(x.is_floating_point())
        for x in (query, memory)
    ]
    return module.to(dtype), inputs, options


def results(compute, module, inputs, options):
    """Output, and gradients of inputs and parameters."""
    out = compute(*inputs, **options)
    leaves = [x for x in (*inputs, *module.parameters()) if x is not None]
    seed = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape).cos()
    return out, *torch.autograd.grad(out, leaves, seed, allow_unused=True)


def both(module, inputs, options):
    cheap = results(module, module, inputs, options)
    plain = results(
        lambda *inputs, **options: dense(module, *inputs, **options), module, inputs, options
    )
    return zip(cheap, plain, strict=True)


def deviation(one, other, least=1e-9):
    """Largest difference, relative to the largest value, or to `least` if that is more."""
    if one is None or other is None:
        return (
            0.0
            if one is other
            else deviation(*(torch.zeros(()) if x is None else x for x in (one, other)))
        )
    assert one.isfinite().all()
    one, other = one.detach(), other.detach()
    return float((one - other).abs().max() / other.abs().max().clamp(min=least))


@pytest.fixture(params=["cpu", "gpu"])
def column(request, monkeypatch):
    """The forms of a CPU, and those of a GPU on a CPU."""
    monkeypatch.setattr(forms, "on_gpu", lambda device: request.param == "gpu")
    return request.param


def assert_same(made, tolerance, least=1e-9):
    for one, other in both(*made):
        assert deviation(one, other, least) < tolerance


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_equals_the_dense_form(terms, case, column):
    assert_same(setting(terms, **CASES[case]), 1e-10)
    assert_same(setting(terms, dtype=torch.float32, **CASES[case]), 1e-5, 1e-3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_large_energies_neither_overflow_nor_lose_precision(terms, case, column):
    # Where the softmax is saturated its gradient is rounding in any form: that of energies of
    # 1e4 is 1e-12 in double and 1e-3 in single precision.
    exact = setting(terms, 1e3, **CASES[case])
    assert_same(exact, 1e-10, least=1.0)
    made = setting(terms, 1e3, dtype=torch.float32, **CASES[case])
    for cheap, truth in zip(results(made[0], *made), results(exact[0], *exact), strict=True):
        assert deviation(cheap, truth, least=1.0) < 1e-2


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", ["0000", "0011", "0111", "1011", "1110"])
def test_small_blocks_and_chunks_make_no_difference(terms, case, monkeypatch):
    monkeypatch.setattr(blocked1d, "ROWS", 5)
    monkeypatch.setattr(blocked1d, "BLOCK_ENERGIES", 100)
    monkeypatch.setattr("plugins.attention.kernels.sequences.sums.PREFIX_CHUNK", 4)
    assert_same(setting(terms, **CASES[case]), 1e-10)


@settings(max_examples=60, deadline=None)
@given(
    terms=st.sampled_from(TERM_SETS),
    case=st.sampled_from([case for case in CASES if "range" not in case]),
    lengths=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    batch=st.integers(1, 4),
    shape=st.sampled_from([(2, 1), (4, 2), (12, 3)]),
    on_gpu=st.booleans(),
)
def test_any_shape_equals_the_dense_form(terms, case, lengths, batch, shape, on_gpu):
    channels, heads = shape
    made = setting(
        terms, lengths=lengths, batch=batch, channels=channels, heads=heads, **CASES[case]
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "on_gpu", lambda device: on_gpu)
        assert_same(made, 1e-9)


@settings(max_examples=50, deadline=None)
@given(
    terms=st.sampled_from(TERM_SETS),
    length=st.integers(1, 150),
    spatial_range=st.integers(0, 160),
    causal=st.booleans(),
    padded=st.booleans(),
    on_gpu=st.booleans(),
)
def test_any_range_equals_the_dense_form(terms, length, spatial_range, causal, padded, on_gpu):
    made = setting(
        terms,
        lengths=(length,),
        spatial_range=spatial_range,
        causal=causal,
        padded=padded,
        batch=2,
        channels=4,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forms, "on_gpu", lambda device: on_gpu)
        assert_same(made, 1e-9)


@pytest.mark.parametrize("terms", TERM_SETS)
def test_padding_before_the_first_word_is_finite(terms, column):
    for spatial_range in (None, 1):
        module, (x, _), _ = setting(terms, spatial_range=spatial_range)
        padding = torch.zeros(x.shape[:2], dtype=torch.bool)
        padding[0, :5] = padding[1] = True  # a whole sentence, too
        options = {"causal": True, "key_padding_mask": padding}
        assert_same((module, (x, None), options), 1e-10)


@pytest.mark.parametrize("spatial_range", [None, 1])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_query_that_sees_nothing_attends_to_nothing(terms, spatial_range, column):
    module, (x, _), _ = setting(terms, spatial_range=spatial_range)
    padding = torch.zeros(x.shape[:2], dtype=torch.bool)
    padding[0, :5] = padding[1] = True
    out = module(x, causal=True, key_padding_mask=padding)
    for blind in (out[0, :5], out[1]):
        torch.testing.assert_close(blind, module.out_proj.bias.expand_as(blind), rtol=0, atol=0)
    assert not torch.equal(out[0, 5], module.out_proj.bias)
    whole = module(x, key_padding_mask=padding)
    torch.testing.assert_close(whole[1], out[1], rtol=0, atol=0)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_time_first_in_memory_makes_no_difference(terms, case, column):
    module, inputs, options = setting(terms, **CASES[case])
    time_first = [
        None if x is None else x.detach().transpose(0, 1).contiguous().transpose(0, 1)
        for x in inputs
    ]
    time_first = [None if x is None else x.requires_grad_() for x in time_first]
    for one, other in zip(
        results(module, module, time_first, options),
        results(module, module, inputs, options),
        strict=True,
    ):
        assert deviation(one, other) < 1e-12
    assert module(*time_first, **options).transpose(0, 1).is_contiguous() or (
        terms in ("0000", "0010")
    )


@pytest.mark.parametrize("case", ["self", "causal", "padded", "cross", "range"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_autocast_keeps_energies_in_single_precision(terms, case, column):
    module, inputs, options = setting(terms, 1.0, dtype=torch.float32, **CASES[case])
    wanted = results(module, module, inputs, options)
    with torch.autocast("cpu", torch.bfloat16):
        out = module(*inputs, **options)
        plain = dense(module, *inputs, **options)
    assert out.dtype == plain.dtype == torch.bfloat16
    # Half-precision projections deviate by 1e-2; the cheap form adds nothing to that.
    assert deviation(out.float(), wanted[0]) < 1.5 * deviation(plain.float(), wanted[0]) + 0.01
    leaves = list(module.parameters())
    for gradient in torch.autograd.grad(out.float().sum(), leaves, allow_unused=True):
        assert gradient is None or gradient.isfinite().all()


def macs(module, length, **options):
    x = torch.zeros(1, length, module.channels)
    return count(module, lambda: module(x, **options), [length]).model["executed_macs"]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("terms", ["0000", "0011", "0110", "1000", "1111"])
def test_cost_of_a_spatial_range_falls_with_the_range(terms, causal):
    near, far = (GeneralizedAttention1d(8, 2, terms, spatial_range=k) for k in (4, 400))
    assert macs(near, 512, causal=causal) < macs(far, 512, causal=causal) / 2
    # Twice the sentence costs twice, not four times.
    assert macs(near, 1024, causal=causal) <= 2.1 * macs(near, 512, causal=causal)


@pytest.mark.parametrize("terms", ["0000", "0010"])
def test_weights_that_no_query_changes_cost_nothing_for_each_pair(terms):
    module = GeneralizedAttention1d(64, 8, terms)
    assert macs(module, 256) < 2 * 256 * 8 * 64 + 2 * 64 * 64 + 8 * 64 * 64
    once, twice = (macs(module, length, causal=True) for length in (512, 1024))
    assert twice <= 2.01 * once


def test_backward_pass_costs_no_memory_for_each_pair():
    module = GeneralizedAttention1d(8, 2, "1111")
    x = torch.randn(1, 300, 8, requires_grad=True)
    saved = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: saved.append(t.numel()) or t, lambda t: t
    ):
        module(x)
    assert max(saved) < 300 * 300


@pytest.mark.parametrize("terms", ["0100", "0001", "1111"])
def test_rows_of_offsets_are_kept_between_steps_and_follow_the_parameters(terms):
    module, (x, _), _ = setting(terms)
    module, x = module.eval(), x.detach()

    def step(length):
        key, value = module.keys_values(x[:, :length])
        last = x[:, length - 1 : length]
        return module.attend(last, key, value, causal=True, query_start=length - 1)

    def products():
        with FlopCounterMode(display=False) as counter:
            step(13)
        return counter.get_total_flops()

    with torch.no_grad():
        module.offset_rows.forget()
        first, second = products(), products()
        assert second < first
        torch.testing.assert_close(step(13), dense(module, x, causal=True)[:, 12:13])
        module.load_state_dict({n: 2 * p for n, p in module.state_dict().items()})
        torch.testing.assert_close(step(13), dense(module, x, causal=True)[:, 12:13])
        module.train()
        module.appr_geom_fc.weight.data.mul_(-1)  # as some optimizers do: leaves no trace
        torch.testing.assert_close(step(13), dense(module, x, causal=True)[:, 12:13])
        module.eval()
        torch.testing.assert_close(step(13), dense(module, x, causal=True)[:, 12:13])
        other = copy.deepcopy(module)
        torch.testing.assert_close(other(x), module(x))
    with torch.inference_mode():
        step(13)
    step(13).sum().backward()
    assert "offset_rows" not in module.state_dict()


@pytest.mark.parametrize("terms", ["0100", "0001"])
def test_no_bit_depends_on_which_offsets_were_asked_for_before(terms):
    module, (x, _), _ = setting(terms, lengths=(70,), dtype=torch.float32)
    other = copy.deepcopy(module.eval())
    with torch.no_grad():
        for length in (1, 2, 40, 9):
            module(x[:, :length])
            module(x[:, :length], x[:, : length // 2 + 1])
        assert torch.equal(module(x), other(x))
    # Queries beyond the reach of all keys ask for no offset at all.
    near = setting(terms, spatial_range=1)[0].eval()
    query = torch.randn(1, 1, 8, dtype=torch.float64)
    for start in (32, 33, 40):
        key, value = near.keys_values(query.expand(-1, 4, -1))
        with torch.no_grad():
            assert near.attend(query, key, value, query_start=start).isfinite().all()
