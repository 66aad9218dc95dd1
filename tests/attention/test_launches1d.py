"""What attention over sequences asks of a GPU: few operators, and no number from the device.

The forms of a GPU run on a CPU here. Each operator that is dispatched is at least one kernel there,
so that their number stands for the time to launch a step.
"""

from __future__ import annotations

import copy

import pytest
import torch

from plugins.attention import GeneralizedAttention1d
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.sequences import forms
from plugins.attention.sequences.dense import dense

from .dispatched import Dispatched

N, T, C, M = 2, 20, 16, 4
CASES = ["self", "causal", "padded", "causal, padded", "cross", "cross, padded"]
POOLED = ("0000", "0010")
"""Without a causal mask their weights are the same for all queries."""

aten = torch.ops.aten
FREE = {
    aten.empty, aten.empty_like, aten.empty_strided, aten.new_empty, aten.new_empty_strided,
    aten._unsafe_view, aten.promote_types,
}  # fmt: skip
"""They write nothing, and give other names to what is there."""

ASKED = {aten._local_scalar_dense, aten.item, aten.is_nonzero, aten.equal, aten.nonzero}
"""The host waits for them."""

MADE = {
    aten.arange, aten.full, aten.zeros, aten.ones, aten.new_zeros, aten.new_ones, aten.new_full,
    aten.zeros_like, aten.ones_like, aten.full_like, aten.scalar_tensor, aten.eye, aten.tril,
    aten.triu, aten.linspace, aten.lift_fresh,
}  # fmt: skip
"""Tensors from the host, or from nothing."""


@pytest.fixture(autouse=True)
def _forms_of_a_gpu(monkeypatch):
    monkeypatch.setattr(forms, "on_gpu", lambda device: True)


def inputs(case, dtype=torch.float32, length=T):
    torch.manual_seed(1)
    x = torch.randn(N, length, C, dtype=dtype, requires_grad=True)
    memory, keys = None, length
    if "cross" in case:
        keys = length + 3
        memory = torch.randn(N, keys, C, dtype=dtype, requires_grad=True)
    options = {"causal": "causal" in case}
    if "padded" in case:
        options["key_padding_mask"] = torch.arange(keys) >= torch.tensor([[keys], [keys - 4]])
    return x, memory, options


def step(module, x, memory, options, compute=None):
    """Operators of a forward and of a backward pass."""
    with Dispatched(FREE) as forward:
        out = (compute or module)(x, memory, **options)
    seed = torch.ones_like(out)
    leaves = [leaf for leaf in (x, memory, *module.parameters()) if leaf is not None]
    with Dispatched(FREE) as backward:
        torch.autograd.grad(out, leaves, seed, allow_unused=True)
    return forward.found, backward.found


def counted(terms, case):
    """Operators of self-attention that some energy distinguishes, counted by hand."""
    e1, e2, e3, e4 = (bit == "1" for bit in terms)
    # The product of all projections, attention, the output's product; backward two products and a
    # sum for either linear layer.
    forward, backward = 3, 1 + 3 + 3
    if e1 or e2 or e3:
        # Matrices and biases side by side, and in the backward pass the gradients.
        forward, backward = forward + 2, backward + 1
    if e3 and not e1:
        # u / sqrt(d), times the projection of the keys.
        forward, backward = forward + 2, backward + 3
    if e2:
        # The projected R, and its product with the queries. The gradient moves to a table of zeros,
        # has two products, and R one; beside that of E1 it is added, else laid out anew.
        forward, backward = forward + 2, backward + 2 + 3 + 1
    elif e4:
        # v times the projection of R, that times R, a row for each query. The gradient is summed
        # over sentences, moves, is summed over queries, and has three products.
        forward, backward = forward + 3, backward + 1 + 2 + 1 + 3
    if e1 and e2 and (e3 or e4):
        # u - v, u or -v is added in attention; v has two gradients.
        forward, backward = forward + e4, backward + 1 + 2 * e4
    if "padded" in case:
        # -inf for padding, which is added to a score; fused attention has one mask for all.
        fused_mask = not (e2 or e4) and e1 and "causal" in case
        forward += 1 + (e3 and not e1) + fused_mask
    return forward, backward


SELF = [
    (terms, case)
    for terms in TERM_SETS
    for case in ("self", "causal", "padded", "causal, padded")
    if terms not in POOLED or "causal" in case
]


@pytest.mark.parametrize(("terms", "case"), SELF)
def test_a_step_dispatches_what_is_counted_by_hand(terms, case):
    module = GeneralizedAttention1d(C, M, terms)
    step(module, *inputs(case))
    found = step(module, *inputs(case))
    assert tuple(map(len, found)) == counted(terms, case)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_step_dispatches_fewer_operators_than_the_dense_form(terms, case):
    module = GeneralizedAttention1d(C, M, terms)

    def plain(*arguments, **options):
        return dense(module, *arguments, **options)

    step(module, *inputs(case))
    ours, theirs = step(module, *inputs(case)), step(module, *inputs(case), plain)
    assert len(ours[0]) < len(theirs[0])
    assert len(ours[0] + ours[1]) < 0.9 * len(theirs[0] + theirs[1])


@pytest.mark.parametrize("spatial_range", [None, 2])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_no_step_waits_for_a_number_or_makes_a_constant_twice(terms, case, spatial_range):
    if spatial_range is not None and "cross" in case:
        return
    module = GeneralizedAttention1d(C, M, terms, spatial_range=spatial_range)
    first = step(module, *inputs(case))
    forward, backward = step(module, *inputs(case))
    assert not ASKED & {*first[0], *first[1]}
    assert not MADE & {*forward}
    # Gradients are written into zeros.
    assert not ASKED & {*backward}


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_no_step_of_decoding_waits_for_a_number_or_makes_a_constant_twice(terms, padded):
    module = GeneralizedAttention1d(C, M, terms).eval()
    x, _, options = inputs("causal, padded" if padded else "causal")
    padding = options.get("key_padding_mask")
    with torch.no_grad():
        for _ in range(2):
            kept = module.remember(x)
            with Dispatched(FREE) as operators:
                for at in (5, 9):
                    seen = {name: tensor[:, :, : at + 1] for name, tensor in kept.items()}
                    options["key_padding_mask"] = None if padding is None else padding[:, : at + 1]
                    module.step(x[:, at : at + 1], seen, query_start=at, **options)
            assert not ASKED & {*operators.found}
        assert not MADE & {*operators.found}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_no_weights_are_kept_for_the_backward_pass(terms, case):
    """What is kept: the projections, and of E2 and E4 one table; the dense form keeps several."""
    length = 96
    module = GeneralizedAttention1d(C, M, terms)
    x, memory, options = inputs(case, length=length)
    kept = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = module(x, memory, **options)
    for parameter in module.parameters():
        kept.pop(parameter.data_ptr(), None)
    _, e2, _, e4 = (bit == "1" for bit in terms)
    keys = length if memory is None else memory.shape[1]
    offsets = keys + 1 if "causal" in case else length + keys - 1
    tables = N * e2 + (not e2) * e4
    rows = 4 * (2 * length + 2 * keys) * N * 2 * C  # inputs, projections, and what was attended to
    rows += 4 * offsets * (C + C)  # the encoding, whose table reaches a power of two, and R
    masks = 5 * N * length * keys if "causal, padded" in case and terms in ("1000", "1010") else 0
    assert sum(kept.values()) <= 4 * M * length * offsets * tables + 2 * rows + masks
    assert out.isfinite().all()


@pytest.mark.parametrize(
    ("half", "worst"), [(torch.bfloat16, 2e-2), (torch.float16, 7e-3)], ids=["bfloat16", "float16"]
)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("terms", TERM_SETS)
def test_half_precision_deviates_little_from_double(terms, case, half, worst):
    torch.manual_seed(0)
    module = GeneralizedAttention1d(C, M, terms)
    x, memory, options = inputs(case)
    exact = copy.deepcopy(module).double()
    exactly = [None if t is None else t.detach().double().requires_grad_() for t in (x, memory)]
    seed = torch.linspace(-3, 3, x.numel()).view(x.shape).cos()

    def results(of, inputs, compute):
        out = compute(*inputs, **options)
        named = {f"input {i}": t for i, t in enumerate(inputs) if t is not None}
        named |= dict(of.named_parameters())
        gradients = torch.autograd.grad(out, named.values(), seed.to(out.dtype), allow_unused=True)
        return {"out": out, **dict(zip(named, gradients, strict=True))}

    right = results(exact, exactly, lambda *given, **options: dense(exact, *given, **options))
    with torch.autocast("cpu", half):
        found = results(module, (x, memory), module)
        plain = results(module, (x, memory), lambda *a, **options: dense(module, *a, **options))
    assert found["out"].dtype == half
    for name, truth in right.items():
        if truth is None:
            assert found[name] is None
            continue
        scale = truth.abs().max().clamp(min=1e-3)
        ours, theirs = ((of[name].double() - truth).abs().max() / scale for of in (found, plain))
        # The gradients of u and v are sums over all queries that nearly cancel.
        cancels = name in ("appr_bias", "geom_bias")
        assert ours < (max(worst, 1.5 * float(theirs)) if cancels else worst), name
