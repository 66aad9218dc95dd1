"""Convolutional block attention, against loops over its formula."""

import math

import pytest
import torch

from plugins.attention.core.word import Word

from .made import CHANNELS, made


def sigmoid(number):
    return 1 / (1 + math.exp(-number))


def by_the_formula(module, x, kernel):
    """Woo et al. 2018, (1) to (3), a number at a time; the norm's statistics are 0 and 1."""
    (channels, height, width), (first, _, last) = x.shape, module.mlp

    def perceptron(pooled):
        hidden = (first.weight @ pooled + first.bias).clamp(min=0)
        return last.weight @ hidden + last.bias

    flat = x.reshape(channels, -1)
    logits = perceptron(flat.mean(1)) + perceptron(flat.max(1).values)
    gate = [sigmoid(logit) for logit in logits.tolist()]
    gated = torch.stack([gate[c] * x[c] for c in range(channels)])
    out, mask, reach = torch.empty_like(x), torch.empty_like(x[0]), kernel // 2
    for row in range(height):
        for column in range(width):
            logit = 0.0
            for down in range(-reach, reach + 1):
                for right in range(-reach, reach + 1):
                    r, c = row + down, column + right
                    if 0 <= r < height and 0 <= c < width:
                        most, mean = module.conv.weight[0, :, down + reach, right + reach].tolist()
                        cell = gated[:, r, c]
                        logit += most * cell.max().item() + mean * cell.mean().item()
            scaled = logit / math.sqrt(1 + module.norm.eps)
            mask[row, column] = sigmoid(
                module.norm.weight.item() * scaled + module.norm.bias.item()
            )
            out[:, row, column] = gated[:, row, column] * mask[row, column]
    return out, torch.tensor(gate, dtype=x.dtype), mask


@pytest.mark.parametrize("kernel", [3, 7])
def test_it_is_its_formula(kernel):
    module = made({3: "cbam:reduction=2:kernel=3", 7: "cbam:reduction=2"}[kernel]).double().eval()
    x = torch.randn(2, CHANNELS, 5, 8, dtype=torch.float64)
    found = module.mechanism.weights(module, x)
    for image in range(2):
        out, gate, mask = by_the_formula(module, x[image], kernel)
        for ours, theirs in (
            (module(x)[image], out),
            (found["gate"][image], gate),
            (found["mask"][image], mask),
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_while_it_learns_the_mask_is_normalised_over_images_and_positions():
    module = made("cbam", 64).double().train()
    x = torch.randn(3, 64, 5, 8, dtype=torch.float64)
    with torch.no_grad():
        module.norm.weight.fill_(1)
        module.norm.bias.fill_(0)
    logits = module.mask(module.by_channel(x)).logit()
    torch.testing.assert_close(logits.mean(), torch.zeros(()).double())
    torch.testing.assert_close(logits.var(correction=0), torch.ones(()).double(), rtol=1e-2, atol=0)
    assert module.norm.running_mean.abs() > 0
    assert module.mlp[0].out_features == 4


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("cbam:kernel=4", "kernel=4: a kernel with a middle has an odd number of taps"),
        ("cbam:reduction=0", "reduction=0: "),
        ("cbam:ratio=8", "'cbam' has no option 'ratio'"),
    ],
)
def test_what_makes_no_gate_is_refused(word, reason):
    with pytest.raises(ValueError, match=reason):
        Word.parse(word)
