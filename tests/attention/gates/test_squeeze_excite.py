"""Squeeze-and-excitation, against MMDetection's layer and against its formula."""

import re

import pytest
import torch
from mmdet.models.layers import SELayer

from plugins.attention.core.word import Word
from plugins.attention.maps.gates import cost

from .made import CHANNELS, made


@pytest.mark.parametrize("size", [(5, 8), (1, 3), (1, 1)], ids=str)
def test_it_is_mmdetections(size):
    ours, theirs = made("squeeze_excite:reduction=4", 32).double(), SELayer(32, ratio=4).double()
    for layer, conv in ((ours.mlp[0], theirs.conv1.conv), (ours.mlp[2], theirs.conv2.conv)):
        conv.load_state_dict({"weight": layer.weight[..., None, None], "bias": layer.bias})
    x = torch.randn(2, 32, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, expected = ours(x), theirs(y)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    out.sin().sum().backward()
    expected.sin().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-12)


def test_it_is_its_formula():
    module = made("squeeze_excite:reduction=2").double()
    x = torch.randn(2, CHANNELS, 5, 8, dtype=torch.float64)
    gates = module.mechanism.weights(module, x)["gate"]
    first, _, last = module.mlp
    for image, gate, out in zip(x, gates, module(x), strict=True):
        means = torch.stack([channel.sum() / 40 for channel in image])
        hidden = [
            max(float(row @ means + b), 0) for row, b in zip(first.weight, first.bias, strict=True)
        ]
        for c, (row, b) in enumerate(zip(last.weight, last.bias, strict=True)):
            logit = sum(w * unit for w, unit in zip(row, hidden, strict=True)) + b
            torch.testing.assert_close(gate[c], 1 / (1 + torch.exp(-logit)))
            torch.testing.assert_close(out[c], gate[c] * image[c])


def test_the_hidden_layer_has_a_unit_at_least_and_its_cost_is_told_in_symbols():
    assert made("squeeze_excite").mlp[0].out_features == 1
    form = cost.squeeze_excite(64, reduction=4)
    text = re.sub(r"(?<=[\w²]) (?=\w)", "*", str(form)).replace("²", "**2")
    assert eval(text, {}, {"C": 64, "r": 4}) == form.macs


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("squeeze_excite:reduction=0", "reduction=0: "),
        ("squeeze_excite:ratio=8", "'squeeze_excite' has no option 'ratio'"),
    ],
)
def test_what_makes_no_gate_is_refused(word, reason):
    with pytest.raises(ValueError, match=reason):
        Word.parse(word)
