"""Every cheap form of GeneralizedAttention2d against the dense one: results and all gradients."""

import importlib
import math
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from plugins.attention import GeneralizedAttention2d
from plugins.attention.core.cost import count
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.maps import lean
from plugins.attention.kernels.maps.blocked import blocked
from plugins.attention.kernels.maps.forms import FORMS, form_of
from plugins.attention.maps.dense import dense

STRIDES = [(1, 1), (2, 1), (2, 2)]
strides_of = pytest.mark.parametrize("strides", STRIDES, ids="kv{0[0]}q{0[1]}".format)


def module(terms, channels=16, heads=2, energy=1.0, **arguments):
    """A module whose energies are `energy` times those of its first weights."""
    torch.manual_seed(sum(map(ord, terms)))
    made = GeneralizedAttention2d(channels, heads, terms, **arguments).double()
    torch.nn.init.constant_(made.gamma, 0.7)
    half = math.sqrt(energy)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if name.startswith(("query", "key", "appr", "geom")):
                parameter.mul_(half)
    return made


def run(made, forward, x):
    """Result, gradient of the input and of every parameter, by name."""
    x = x.detach().clone().requires_grad_()
    made.zero_grad()
    out = forward(x)
    (out * torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)).sum().backward()
    grads = {name: parameter.grad for name, parameter in made.named_parameters()}
    return {"out": out.detach(), "x": x.grad, **{k: v for k, v in grads.items() if v is not None}}


def deviation(found, exact, floor=0.0):
    """Largest difference in any tensor, relative to the largest number in it.

    Gradients are relative to `floor` where that is larger.
    """
    assert found.keys() == exact.keys()
    assert all(torch.isfinite(value).all() for value in found.values())
    return max(
        float((found[name].double() - exact[name]).abs().max())
        / max(float(exact[name].abs().max()), 0 if name == "out" else floor, 1e-30)
        for name in exact
    )


def largest_gradient(exact):
    """A floor for deviations where some gradient is 0 but for rounding.

    Such is the energies' gradient where a query has one key, or one key has all the weight.
    """
    return max(float(value.abs().max()) for name, value in exact.items() if name != "out")


def check(made, forward, x, record, energy=1):
    """Hold a form to the dense one: in float64, and in float32 as close to float64 as that is."""
    exact = run(made, made.dense, x)
    floor = 0 if energy == 1 else largest_gradient(exact)
    double = deviation(run(made, forward, x), exact, floor)
    record("float64", double)
    assert double < 1e-10
    made.float()
    dense = deviation(run(made, made.dense, x.float()), exact, floor)
    single = deviation(run(made, forward, x.float()), exact, floor)
    record(f"float32, energy {energy:g}", single)
    # Float32 rounds energies of thousands by 1e-4; and where gradients cancel, the dense form
    # loses as much as any other.
    assert single < max(1e-5 if energy == 1 else 1e-4, 5 * dense)


@pytest.mark.parametrize("energy", [1, 1e3])
@strides_of
@pytest.mark.parametrize("size", [(7, 7), (9, 6)], ids="{0[0]}x{0[1]}".format)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_the_form_that_runs_equals_the_dense_one(terms, size, strides, energy, record_property):
    made = module(terms, energy=energy, kv_stride=strides[0], q_stride=strides[1])
    x = torch.randn(2, 16, *size, dtype=torch.float64)
    check(made, made, x, record_property, energy)


@pytest.mark.parametrize("energy", [1, 1e3])
@strides_of
@pytest.mark.parametrize("form", ["gpu", "local_gpu"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_forms_for_a_gpu_equal_the_dense_one(terms, form, strides, energy, record_property):
    made = module(terms, energy=energy, kv_stride=strides[0], q_stride=strides[1])
    x = torch.randn(2, 16, 9, 6, dtype=torch.float64)
    forward = getattr(FORMS[terms], form)
    check(made, lambda x: made.attend(x, forward), x, record_property, energy)


@pytest.mark.parametrize("energy", [1, 1e3])
@strides_of
def test_0011_of_many_pairs_on_a_gpu_equals_the_dense_one(strides, energy, record_property):
    made = module("0011", energy=energy, kv_stride=strides[0], q_stride=strides[1])
    x = torch.randn(2, 16, 9, 6, dtype=torch.float64)
    check(made, lambda x: made.attend(x, lean.nested), x, record_property, energy)


@strides_of
@pytest.mark.parametrize("spatial_range", [1, 3, 10])
@pytest.mark.parametrize("on_gpu", [False, True], ids=["tiles", "window"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_range_equals_the_dense_mask(terms, on_gpu, spatial_range, strides, record_property):
    made = module(terms, kv_stride=strides[0], q_stride=strides[1], spatial_range=spatial_range)
    x = torch.randn(1, 16, 13, 18, dtype=torch.float64)
    exact = run(made, made.dense, x)
    floor = largest_gradient(exact)
    form = form_of(terms, on_gpu, local=True)
    double = deviation(run(made, lambda x: made.attend(x, form), x), exact, floor)
    made.float()
    single = deviation(run(made, lambda x: made.attend(x, form), x.float()), exact, floor)
    record_property("float64", double)
    record_property("float32, range", single)
    assert double < 1e-10
    assert single < 1e-5


@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_equals_the_dense_form_on_any_shape(data):
    draw = data.draw
    kv_stride, q_stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    made = module(
        draw(st.sampled_from(TERM_SETS)),
        channels=draw(st.integers(3, 13)) * 4,
        heads=draw(st.integers(1, 5)),
        kv_stride=kv_stride,
        q_stride=q_stride,
        spatial_range=draw(st.none() | st.integers(max(1, kv_stride - 1), 9)),
        position_dim=draw(st.sampled_from([4, 12, 32])),
        position_magnitude=draw(st.sampled_from([0.5, 1, 3])),
    )
    size = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    x = torch.randn(draw(st.integers(1, 3)), made.channels, *size, dtype=torch.float64)
    form = form_of(made.terms, draw(st.booleans()), local=made.spatial_range is not None)
    exact = run(made, made.dense, x)
    found = run(made, lambda x: made.attend(x, form), x)
    assert deviation(found, exact, largest_gradient(exact)) < 1e-10


@pytest.mark.parametrize("strides", [(1, 1), (2, 1), (2, 2), (1, 2)], ids="kv{0[0]}q{0[1]}".format)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_neither_layout_nor_a_map_without_gradient_matters(terms, strides):
    made = module(terms, kv_stride=strides[0], q_stride=strides[1])
    form = FORMS[terms].gpu
    plain = torch.randn(1, 16, 6, 7, dtype=torch.float64)
    wide = torch.zeros(1, 16, 7, 12, dtype=torch.float64)
    wide[..., 1::2] = plain.mT
    exact = run(made, made.dense, plain)
    weights = torch.linspace(-1, 1, plain.numel(), dtype=plain.dtype).view(plain.shape)
    for x in (plain.contiguous(memory_format=torch.channels_last), wide[..., 1::2].mT):
        assert not x.is_contiguous()
        assert torch.equal(x, plain)
        for wanted in (True, False):
            x = x.detach().requires_grad_(wanted)
            made.zero_grad()
            out = made.attend(x, form)
            (out * weights).sum().backward()
            found = {name: value.grad for name, value in made.named_parameters()}
            found |= {"out": out.detach(), "x": x.grad if wanted else exact["x"]}
            assert deviation(found, exact, largest_gradient(exact)) < 1e-10
    with torch.no_grad():
        torch.testing.assert_close(made.attend(plain, form), exact["out"], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("terms", ["0100", "0111", "1011", "1111"])
def test_many_blocks_equal_one(terms, monkeypatch):
    made = module(terms, kv_stride=1)
    x = torch.randn(2, 16, 9, 7, dtype=torch.float64)
    exact = run(made, made.dense, x)
    for cache in (1, 63 * 10, 63 * 63 * 3):  # a query, some queries, some heads at a time
        monkeypatch.setattr("plugins.attention.kernels.attend.in_torch._CACHED", cache)
        assert deviation(run(made, made, x), exact) < 1e-10


@pytest.mark.parametrize(("kind", "bound"), [(torch.bfloat16, 2e-2), (torch.float16, 7e-3)])
@pytest.mark.parametrize("spatial_range", [None, 3])
@pytest.mark.parametrize("on_gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_under_autocast_forms_are_as_near_to_double_precision_as_the_dense_one(
    terms, on_gpu, spatial_range, kind, bound, record_property
):
    made = module(terms, channels=32, heads=4, kv_stride=2, spatial_range=spatial_range)
    x = torch.randn(2, 32, 12, 9, dtype=torch.float64)
    exact = run(made, made.dense, x)
    weights = torch.linspace(-1, 1, x.numel(), dtype=x.dtype).view(x.shape)
    summands = float((weights * (exact["out"] - x) / 0.7).abs().sum())
    form = form_of(terms, on_gpu, spatial_range is not None)
    made.float()
    with torch.autocast("cpu", dtype=kind):
        found = run(made, lambda x: made.attend(x, form), x.float())
        dense = run(made, made.dense, x.float())
    # The gradient of gamma is a sum that cancels.
    gamma = abs(float(found.pop("gamma") - exact.pop("gamma")))
    del dense["gamma"]
    record_property(f"{kind}", deviation(found, exact))
    assert gamma < bound / 4 * summands
    assert deviation(found, exact) < max(bound, 1.5 * deviation(dense, exact))


@pytest.mark.parametrize("spatial_range", [None, 3])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_under_autocast_results_are_finite_and_near_single_precision(terms, spatial_range):
    made = module(terms, kv_stride=1, spatial_range=spatial_range).float()
    x = torch.randn(1, 16, 12, 9)
    exact = run(made, made, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = run(made, made, x)
        dense = run(made, made.dense, x)
    assert deviation(half, exact) < max(0.02, 2 * deviation(dense, exact))


@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_module_in_half_precision_runs(terms):
    made = module(terms, energy=1e3, kv_stride=1).bfloat16()
    found = run(made, made, torch.randn(1, 16, 8, 9, dtype=torch.bfloat16))
    assert all(torch.isfinite(value).all() for value in found.values())
    assert found["out"].dtype == torch.bfloat16


def test_differentiating_twice_is_refused():
    made = module("1111")
    x = torch.randn(1, 16, 4, 4, dtype=torch.float64, requires_grad=True)
    (grad,) = torch.autograd.grad(made(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def macs(made, forward, size):
    x = torch.zeros(1, made.channels, *size, device="meta", dtype=made.gamma.dtype)
    return count(made, lambda: forward(x), [made.channels, *size]).model["macs"]


DERIVED_GMACS = {
    "0000": 10.32, "1000": 20.64, "0001": 11.74, "1001": 22.06, "0010": 1.26, "1010": 20.64,
    "0011": 12.37, "1011": 22.06, "0100": 14.70, "1100": 22.54, "0101": 14.70, "1101": 22.54,
    "0110": 15.33, "1110": 22.54, "0111": 15.33, "1111": 22.54,
}  # fmt: skip
"""By hand, of six blocks on 50x84 with 256 channels and three on 25x42 with 512."""


@pytest.mark.parametrize("terms", TERM_SETS)
def test_the_dense_form_multiplies_what_was_derived_by_hand(terms):
    conv4, conv5 = (GeneralizedAttention2d(c, 8, terms).to("meta") for c in (256, 512))
    total = 6 * macs(conv4, conv4.dense, (50, 84)) + 3 * macs(conv5, conv5.dense, (25, 42))
    assert total / 1e9 == pytest.approx(DERIVED_GMACS[terms], abs=0.011)


@pytest.mark.parametrize("terms", TERM_SETS)
def test_counted_products_are_the_same_without_numbers(terms):
    made = module(terms, kv_stride=2)
    x = torch.zeros(1, 16, 9, 6, dtype=torch.float64)
    real = count(made, lambda: made(x), [16, 9, 6]).model["macs"]
    made.to("meta")
    assert macs(made, made, (9, 6)) == real


@pytest.mark.parametrize("terms", TERM_SETS)
def test_work_falls_with_the_range(terms):
    spent = []
    for spatial_range in (1, 4, 16):
        made = GeneralizedAttention2d(32, 2, terms, kv_stride=1, spatial_range=spatial_range)
        spent.append(macs(made.to("meta"), made, (60, 60)))
    assert spent == sorted(set(spent))


def test_the_device_and_the_range_choose_the_form():
    assert FORMS.keys() == set(TERM_SETS)
    assert form_of("1111", on_gpu=False, local=False) is blocked
    assert form_of("1111", on_gpu=True, local=False) is lean.tabled
    assert form_of("0010", on_gpu=True, local=False) is lean.pooled
    assert form_of("0010", on_gpu=True, local=True) is lean.tabled


@pytest.mark.parametrize(("size", "strides", "many"), [
    ((50, 84), (2, 1), False), ((50, 84), (1, 1), True), ((97, 97), (2, 1), True),
    ((97, 97), (2, 2), False), ((25, 42), (1, 1), False),
])  # fmt: skip
def test_many_pairs_are_not_made_one_by_one(size, strides, many, monkeypatch):
    chosen = []
    for name in ("tabled", "nested"):
        monkeypatch.setattr(lean, name, lambda block, x, kind, name=name: chosen.append(name))
    monkeypatch.delitem(sys.modules, "plugins.attention.kernels.maps.forms")
    again = importlib.import_module("plugins.attention.kernels.maps.forms")
    made = module("0011", channels=16, heads=8, kv_stride=strides[0], q_stride=strides[1])
    again.FORMS["0011"].gpu(made, torch.empty(2, 16, *size, device="meta"), torch.float32)
    assert chosen == ["nested" if many else "tabled"]


@strides_of
@pytest.mark.parametrize("spatial_range", [None, 2])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_weights_at_are_those_that_attend(terms, spatial_range, strides):
    made = module(terms, kv_stride=strides[0], q_stride=strides[1], spatial_range=spatial_range)
    x = torch.randn(2, 16, 8, 6, dtype=torch.float64)
    places = [(0, 0), (5, 4), (7, 1)]
    with torch.no_grad():
        seen = made.weights_at(x, places)
        attended = dense(made, x).permute(0, 3, 1, 2)
        value = made.value_conv(made.subsample(x)[1]).unflatten(1, (2, 8))
        expected = torch.einsum("nmlyx,nmdyx->nlmd", seen["weights"], value).flatten(2)
    attended = attended.expand(-1, -1, *made.subsample(x)[0].shape[-2:])
    for index, (row, column) in enumerate(places):
        at = attended[..., row // strides[1], column // strides[1]]
        torch.testing.assert_close(expected[:, index], at, rtol=1e-12, atol=1e-12)
    on = [f"E{term + 1}" for term, bit in enumerate(terms) if bit == "1"]
    assert list(seen) == ["weights", *on]
    assert all(tensor.shape == seen["weights"].shape for tensor in seen.values())
    if on and spatial_range is None:
        total = sum(seen[term] for term in on).flatten(3).softmax(3)
        torch.testing.assert_close(total, seen["weights"].flatten(3))


def test_weights_at_names_a_position_that_is_not_in_the_map():
    with pytest.raises(ValueError, match="outside"):
        module("1111").weights_at(torch.zeros(1, 16, 4, 5, dtype=torch.float64), [(4, 0)])
