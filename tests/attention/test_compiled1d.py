"""Attention over sequences is one graph for the compiler, whatever the lengths."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from plugins.attention import GeneralizedAttention1d
from plugins.attention.kernels.sequences import forms

C, M = 16, 4


class Layer(nn.Module):
    """Self-attention under a causal mask, then attention to another sequence with padding."""

    def __init__(self, terms):
        super().__init__()
        torch.manual_seed(0)
        self.attention = GeneralizedAttention1d(C, M, terms)

    def forward(self, x, memory, padding):
        x = self.attention(x, causal=True)
        return self.attention(x, memory, key_padding_mask=padding)


def results(compute, layer, length):
    torch.manual_seed(length)
    x = torch.randn(3, length, C, requires_grad=True)
    memory = torch.randn(3, length + 5, C, requires_grad=True)
    padding = torch.arange(length + 5) >= torch.tensor([[length + 5], [length - 2], [3]])
    out = compute(x, memory, padding)
    leaves = [x, memory, *layer.parameters()]
    return out, *torch.autograd.grad(out.sin().sum(), leaves, allow_unused=True)


@pytest.fixture(autouse=True)
def _nothing_compiled():
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize(
    ("terms", "column"),
    [(terms, "cpu") for terms in ("0001", "0110", "1000")]
    + [(terms, "gpu") for terms in ("0010", "0001", "1000", "1111")],
)
def test_one_graph_serves_sequences_of_any_length(terms, column, monkeypatch):
    """One set of terms for each way that the forms of a column go."""
    monkeypatch.setattr(forms, "on_gpu", lambda device: column == "gpu")
    layer = Layer(terms)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    first = results(compiled, layer, 12)
    with torch._dynamo.config.patch(error_on_recompile=True):
        second = results(compiled, layer, 19)
    for length, found in ((12, first), (19, second)):
        for one, other in zip(found, results(layer, layer, length), strict=True):
            if other is None:  # under 0000 and 0010 the queries change nothing
                assert one is None
            else:
                torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
