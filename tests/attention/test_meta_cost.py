"""On the meta device, where nothing is calculated, the same is counted as on a CPU."""

import pytest
import torch

from plugins.attention import (
    DeformableConv1d,
    DeformableConv2d,
    DynamicConv1d,
    DynamicConv2d,
    GeneralizedAttention1d,
    GeneralizedAttention2d,
)
from plugins.attention.core.cost import count
from plugins.attention.core.word import TERM_SETS


def figures(build, device, *shape, **options):
    with torch.device(device):
        module, x = build(), torch.randn(shape)
    module.is_mechanism = True
    cost = count(module, lambda: module(x, **options), list(shape))
    return cost.model


@pytest.mark.parametrize("spatial_range", [None, 3])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_attention_over_maps(terms, spatial_range):
    def build():
        return GeneralizedAttention2d(16, 4, terms, spatial_range=spatial_range)

    # More energies than a CPU takes in one block.
    shape = (1, 16, 30, 44)
    assert figures(build, "meta", *shape) == figures(build, "cpu", *shape)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("spatial_range", [None, 3])
@pytest.mark.parametrize("terms", TERM_SETS)
def test_attention_over_sequences(terms, spatial_range, causal):
    def build():
        return GeneralizedAttention1d(16, 4, terms, spatial_range=spatial_range)

    shape = (1, 80, 16)
    on_meta, on_cpu = (figures(build, where, *shape, causal=causal) for where in ("meta", "cpu"))
    assert on_meta == on_cpu


@pytest.mark.parametrize(
    ("build", "shape"),
    [
        (lambda: DeformableConv2d(16, 16), (1, 16, 12, 20)),
        (lambda: DynamicConv2d(16, 4, 5), (1, 16, 12, 20)),
        (lambda: DeformableConv1d(16), (1, 20, 16)),
        (lambda: DynamicConv1d(16, 4, 5), (1, 20, 16)),
    ],
)
def test_convolutions(build, shape):
    if shape[1] == 20:
        # Within a model a unit has the closed form.
        plain = build

        def build():
            module = plain()
            module.closed_form = lambda queries, keys: type("Form", (), {"macs": 0})
            return module

    assert figures(build, "meta", *shape) == figures(build, "cpu", *shape)
