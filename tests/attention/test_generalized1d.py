"""GeneralizedAttention1d against an einsum of the formula; fairseq's module: tests/translation."""

import math

import pytest
import torch

from plugins.attention import GeneralizedAttention1d
from plugins.attention.core.word import TERM_SETS
from plugins.attention.kernels.sequences import forms


def module(terms, channels=8, heads=2, **arguments):
    torch.manual_seed(sum(map(ord, terms)))
    made = GeneralizedAttention1d(channels, heads, terms, **arguments).double()
    torch.nn.init.normal_(made.v_proj.bias)
    return made


def formula(m, query, memory, hidden, start=0):
    """Equations (1) and (2) over sequences; `hidden` (N, T, S) marks keys that may not be seen."""
    e1, e2, e3, e4 = (bit == "1" for bit in m.terms)
    heads, d = m.heads, m.head_dim
    length, keys = query.shape[1], memory.shape[1]
    offset = torch.arange(start, start + length)[:, None] - torch.arange(keys)[None]
    inverse = 10000 ** -(torch.arange(m.position_dim // 2).double() / (m.position_dim // 2))
    angle = offset[..., None] * inverse
    sinusoid = torch.cat([torch.sin(angle), torch.cos(angle)], -1)
    energy = torch.zeros(query.shape[0], heads, length, keys, dtype=torch.float64)
    if e1 or e2:
        q = torch.einsum("mdc,ntc->nmtd", m.q_proj.weight.view(heads, d, -1), query)
    if e1 or e3:
        k = torch.einsum("mdc,nsc->nmsd", m.k_proj.weight.view(heads, d, -1), memory)
    if e2 or e4:
        r = torch.einsum("mdp,tsp->mtsd", m.appr_geom_fc.weight.view(heads, d, -1), sinusoid)
    if e1:
        energy = energy + torch.einsum("nmtd,nmsd->nmts", q, k)
    if e2:
        energy = energy + torch.einsum("nmtd,mtsd->nmts", q, r)
    if e3:
        energy = energy + torch.einsum("md,nmsd->nms", m.appr_bias.view(heads, d), k)[:, :, None]
    if e4:
        energy = energy + torch.einsum("md,mtsd->mts", m.geom_bias.view(heads, d), r)
    energy = energy / math.sqrt(d)
    weights = energy.masked_fill(hidden[:, None], -math.inf).softmax(-1)
    value = torch.einsum("mdc,nsc->nmsd", m.v_proj.weight.view(heads, d, -1), memory)
    value = value + m.v_proj.bias.view(heads, 1, d)
    mixed = torch.einsum("nmts,nmsd->ntmd", weights, value).flatten(2)
    return mixed @ m.out_proj.weight.T + m.out_proj.bias


@pytest.mark.parametrize("terms", TERM_SETS)
@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("kind", ["self", "causal", "cross"])
@pytest.mark.parametrize("on_gpu", [False, True], ids=["cpu", "gpu"])
def test_equals_the_formula(terms, kind, padded, on_gpu, monkeypatch):
    monkeypatch.setattr(forms, "on_gpu", lambda device: on_gpu)
    m = module(terms, **({"key_channels": 6} if kind == "cross" else {}))
    query = torch.randn(3, 5, 8, dtype=torch.float64)
    memory = torch.randn(3, 7, 6, dtype=torch.float64) if kind == "cross" else query
    padding = torch.zeros(3, memory.shape[1], dtype=torch.bool)
    if padded:
        padding[0, -2:] = padding[2, -1:] = True
    hidden = padding[:, None].expand(-1, 5, -1).clone()
    if kind == "causal":
        hidden |= torch.ones(5, 5).triu(1).bool()
    out = m(
        query,
        memory if kind == "cross" else None,
        causal=kind == "causal",
        key_padding_mask=padding if padded else None,
    )
    expected = formula(m, query, memory, hidden)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("spatial_range", [None, 1, 3])
@pytest.mark.parametrize("on_gpu", [False, True], ids=["cpu", "gpu"])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_a_later_start_continues_the_sequence(terms, on_gpu, spatial_range, monkeypatch):
    monkeypatch.setattr(forms, "on_gpu", lambda device: on_gpu)
    m = module(terms, spatial_range=spatial_range)
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    key, value = m.keys_values(x)
    whole = m(x, causal=True)
    for start, stop in ((4, 6), (1, 4), (5, 6)):
        seen = [None if t is None else t[:, :, :stop] for t in (key, value)]
        last = m.attend(x[:, start:stop], *seen, causal=True, query_start=start)
        torch.testing.assert_close(last, whole[:, start:stop], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("terms", ["0000", "0101", "1111"])
def test_spatial_range_hides_keys_on_both_sides(terms):
    m = module(terms, spatial_range=2)
    x = torch.randn(2, 7, 8, dtype=torch.float64)
    far = (torch.arange(7)[:, None] - torch.arange(7)[None]).abs() > 2
    expected = formula(m, x, x, far.expand(2, -1, -1))
    torch.testing.assert_close(m(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("terms", TERM_SETS)
def test_gradients_are_those_of_finite_differences(terms):
    m = module(terms, channels=4)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    padding = torch.tensor([[False, False, False], [False, False, True]])

    def run(x, *values):
        named = dict(zip(dict(m.named_parameters()), values, strict=True))
        options = {"causal": True, "key_padding_mask": padding}
        return torch.func.functional_call(m, named, x, options)

    assert torch.autograd.gradcheck(run, (x, *m.parameters()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"terms": "x111"}, "four bits"),
        ({"heads": 3}, "divide"),
        ({"position_dim": 5}, "even"),
        ({"spatial_range": -1}, "negative"),
    ],
)
def test_a_bad_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        GeneralizedAttention1d(8, **{"heads": 2, **arguments})
