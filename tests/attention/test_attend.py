"""The operator for attention with tables of energies, against its formula written with einsum."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from plugins.attention.kernels.attend import Window, attend, in_torch
from plugins.attention.kernels.attend.trial import LARGEST, trial

NAMES = ("query", "key", "value", "outer", "inner", "score", "bias")


def formula(query, key, value, outer, inner, score, bias, scale=1.0, window=None):
    """The definition, with an energy for each pair."""
    table = outer if inner is None else inner
    grid, keys = (table if query is None else query).shape[2:4], value.shape[2:4]
    energy = value.new_zeros(*value.shape[:2], *grid, *keys)
    if query is not None:
        query = query if bias is None else query + bias[:, None, None]
        energy = energy + scale * torch.einsum("bmyxd,bmoid->bmyxoi", query, key)
    energy = energy if outer is None else energy + outer.unsqueeze(5)
    energy = energy if inner is None else energy + inner.unsqueeze(4)
    energy = energy if score is None else energy + score[:, :, None, None]
    if window is not None:
        seen = torch.ones(*grid, *keys, dtype=torch.bool)
        for y, x, o, i in seen.nonzero().tolist():
            along = (window.query_step * y - window.key_step * o,
                     window.query_step * x + window.first - window.key_step * i)  # fmt: skip
            seen[y, x, o, i] = all(window.nearest <= d <= window.farthest for d in along)
        energy = energy.masked_fill(~seen, -math.inf)
    weights = energy.flatten(4).softmax(dim=-1)
    weights = weights.masked_fill(weights.isnan(), 0.0)
    return torch.einsum("bmyxk,bmke->bmyxe", weights, value.flatten(2, 3))


def example(seed, grid=(3, 4), keys=(2, 5), parts="query outer inner", sizes=(2, 2, 3, 4)):
    """Tensors for `attend`; those of `parts`, others are None."""
    torch.manual_seed(seed)
    batch, heads, wide, features = sizes
    shapes = {
        "query": (batch, heads, *grid, wide),
        "key": (batch, heads, *keys, wide),
        "value": (batch, heads, *keys, features),
        "outer": (batch, heads, *grid, keys[0]),
        "inner": (batch, heads, *grid, keys[1]),
        "score": (batch, heads, *keys),
        "bias": (heads, wide),
    }
    given = {"value", *parts.split()}
    given |= {"key"} if "query" in given else set()
    return {
        name: torch.randn(shapes[name], dtype=torch.float64).requires_grad_()
        if name in given
        else None
        for name in NAMES
    }


def run(function, tensors, **options):
    """Result and the gradients of all tensors that are there."""
    bias = {"bias": tensors["bias"]}
    given = [tensors[name] for name in NAMES if name != "bias"]
    out = function(*given, **bias, **options)
    seed = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape)
    leaves = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    grads = torch.autograd.grad(out, list(leaves.values()), seed, allow_unused=True)
    zeros = (torch.zeros_like(leaf) for leaf in leaves.values())
    return out, {
        name: zero if grad is None else grad
        for name, grad, zero in zip(leaves, grads, zeros, strict=True)
    }


def check(tensors, **options):
    exact, exact_grads = run(formula, tensors, **options)
    found, grads = run(attend, tensors, **options)
    torch.testing.assert_close(found, exact, atol=1e-12, rtol=0)
    torch.testing.assert_close(grads, exact_grads, atol=1e-11, rtol=0)


CONTENTS = ("query", "query bias", "")
TABLES = ("outer inner", "outer", "inner", "")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(data=st.data())
def test_equals_its_formula(data):
    draw = data.draw
    content, tables = draw(st.sampled_from(CONTENTS)), draw(st.sampled_from(TABLES))
    if not content + tables:
        tables = "outer"
    side = st.integers(1, 6)
    window = draw(st.none() | st.builds(
        Window, st.integers(1, 3), st.integers(1, 3), st.integers(0, 3),
        st.integers(-4, 0), st.integers(0, 4) | st.just(1 << 30),
    ))  # fmt: skip
    check(
        example(
            draw(st.integers(0, 9)),
            grid=(draw(side), draw(side)),
            keys=(draw(side), draw(side)),
            parts=f"{content} {tables} {draw(st.sampled_from(['', 'score']))}",
        ),
        scale=draw(st.sampled_from([1.0, 0.3])),
        window=window,
    )


def test_expanded_tables_get_the_sum_of_their_queries_gradients():
    tensors = example(0)
    shared = torch.randn(1, 2, 3, 1, 2, dtype=torch.float64, requires_grad=True)
    exact = run(formula, tensors | {"outer": shared.expand(2, 2, 3, 4, 2)})
    out = attend(*(tensors[n] for n in ("query", "key", "value")), shared.expand(2, 2, 3, 4, 2),
                 tensors["inner"])  # fmt: skip
    torch.testing.assert_close(out, exact[0])
    (grad,) = torch.autograd.grad(out.square().sum(), shared)
    again = formula(**tensors | {"outer": shared.expand(2, 2, 3, 4, 2)})
    (wanted,) = torch.autograd.grad(again.square().sum(), shared)
    torch.testing.assert_close(grad, wanted)


def test_a_query_that_sees_nothing_gives_zero_and_no_gradient():
    tensors = example(1, grid=(1, 6), keys=(1, 6), parts="query score")
    with torch.no_grad():
        tensors["score"][0, :, :, 2:] = -math.inf
    out, grads = run(attend, tensors, window=Window(nearest=0, farthest=1))
    assert (out[0, :, :, 3:] == 0).all()
    assert out[0, :, :, :3].abs().min() > 0
    assert all(torch.isfinite(grad).all() for grad in grads.values())
    assert (grads["query"][0, :, :, 3:] == 0).all()


def test_the_result_lies_as_a_projection_reads_it():
    tensors = example(2)
    out = attend(*(tensors[name] for name in NAMES[:5]))
    assert out.permute(0, 2, 3, 1, 4).is_contiguous()


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_multiplies_and_sums_in_single(kind):
    exact = example(3, grid=(4, 9), keys=(5, 7), parts="query bias outer inner score")
    halves = {
        name: tensor.detach().to(kind if name in NAMES[:3] else torch.float32).requires_grad_()
        for name, tensor in exact.items()
    }
    widened = {name: t.detach().double().requires_grad_() for name, t in halves.items()}
    out, grads = run(formula, widened)
    found, found_grads = run(attend, halves)
    assert found.dtype == kind
    assert {name: grad.dtype for name, grad in found_grads.items()} == {
        name: tensor.dtype for name, tensor in halves.items()
    }
    rounding = torch.finfo(kind).eps
    assert float((found.double() - out).abs().max() / out.abs().max()) < 2 * rounding
    for name, grad in grads.items():
        deviation = (found_grads[name].double() - grad).norm() / grad.norm()
        assert float(deviation) < 2 * rounding, name


def test_autocast_chooses_the_type_of_products_and_leaves_the_tables():
    tensors = {
        name: None if tensor is None else tensor.detach().float().requires_grad_()
        for name, tensor in example(4).items()
    }
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = attend(*(tensors[name] for name in NAMES[:5]))
    out.float().sum().backward()
    assert out.dtype == torch.bfloat16
    assert tensors["outer"].grad.dtype == torch.float32
    assert tensors["query"].grad.dtype == torch.float32


@pytest.mark.parametrize("energies", [1, 7, 100])
def test_blocks_of_any_size_give_the_same(energies, monkeypatch):
    tensors = example(5, parts="query bias outer inner score")
    whole = run(attend, tensors)
    monkeypatch.setattr(in_torch, "_CACHED", energies)
    torch.testing.assert_close(run(attend, tensors), whole, atol=1e-14, rtol=0)


def test_compiles_as_one_graph_for_any_size():
    torch._dynamo.reset()
    compiled = torch.compile(attend, fullgraph=True, dynamic=True, backend="aot_eager")
    for side in (4, 5, 7):
        tensors = example(
            side, grid=(side, side), keys=(side, 3), parts="query bias outer inner score"
        )
        for window in (None, Window(nearest=-2, farthest=3)):
            exact = run(attend, tensors, window=window)
            torch.testing.assert_close(run(compiled, tensors, window=window), exact)


def test_is_a_proper_operator():
    tensors = {n: t.detach() for n, t in example(6, parts="query bias outer inner score").items()}
    inputs = [tensors[name] for name in NAMES]
    torch.library.opcheck(torch.ops.spatial_attention.attend.default, (*inputs, 0.5, None))
    out, total = torch.ops.spatial_attention.attend(*inputs, 0.5, [1, 1, 0, -1, 1])
    torch.library.opcheck(
        torch.ops.spatial_attention.attend_backward.default,
        (torch.randn_like(out), *inputs, 0.5, [1, 1, 0, -1, 1], out, total, True),
    )


def test_its_products_are_counted():
    tensors = example(7)
    pairs = 2 * 2 * (3 * 4) * (2 * 5)
    with FlopCounterMode(display=False) as counter:
        out = attend(*(tensors[name] for name in NAMES[:5]))
    assert counter.get_total_flops() == 2 * pairs * (3 + 4)
    with FlopCounterMode(display=False) as counter:
        out.sum().backward()
    assert counter.get_total_flops() == 2 * pairs * (3 * 3 + 2 * 4)


def test_needs_something_to_know_the_queries_from():
    value = torch.randn(1, 1, 2, 2, 3)
    with pytest.raises(ValueError, match="a query or a table"):
        attend(None, None, value, score=torch.zeros(1, 1, 2, 2))


def test_the_trial_of_a_device_agrees_with_double_precision():
    found = trial("cpu")
    assert not found["kernel"]
    assert found["deviations"].keys() == LARGEST.keys()
    for precision, deviation in found["deviations"].items():
        assert 0 < deviation < LARGEST[precision]


def test_the_trial_sees_a_wrong_gradient(monkeypatch):
    backward = in_torch.backward

    def wrong(grad, *arguments):
        found = list(backward(grad, *arguments))
        if grad.dtype == torch.float32:
            found[4] = found[4] * 1.001
        return found

    monkeypatch.setattr(in_torch, "backward", wrong)
    assert trial("cpu")["deviations"]["float32"] > 5e-4
