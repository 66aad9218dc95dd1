"""SAGAN's self-attention against a loop over its formula, with singular values by an SVD."""

import copy

import pytest
import torch
from torch import nn

from plugins.attention.maps.sagan import SelfAttention2d

LAYERS = ("theta", "phi", "g", "out")


def randomised(channels):
    torch.manual_seed(0)
    block = SelfAttention2d(channels)
    for parameter in block.parameters():
        if parameter.dim() == 4:
            left, values, right = torch.linalg.svd(torch.randn(parameter.shape[:2]), False)
            values[0] *= 2  # so that power iteration converges soon
            parameter.data = ((left * values) @ right).view_as(parameter)
        else:
            nn.init.constant_(parameter, 0.75)
    block.double().train()
    with torch.no_grad():
        for _ in range(200):
            for layer in LAYERS:
                _ = getattr(block, layer).weight
    return block.eval()


def matrix_of(block, name):
    weight = getattr(block, name).parametrizations.weight.original.flatten(1)
    return weight / torch.linalg.svdvals(weight)[0]


@pytest.mark.parametrize("size", [(4, 6), (5, 3), (1, 4), (1, 1)], ids=str)
def test_it_is_its_formula_and_shows_its_weights(size):
    block, (height, width) = randomised(16), size
    x = torch.randn(1, 16, height, width, dtype=torch.float64)
    theta, phi, g, out = (matrix_of(block, name) for name in LAYERS)

    def pooled(matrix):
        """The maxima of 2x2 projections, each feature for itself."""
        rows, columns = min(2, height), min(2, width)
        return [
            torch.stack(
                [matrix @ x[0, :, r + i, c + j] for i in range(rows) for j in range(columns)]
            ).amax(0)
            for r in range(0, height - rows + 1, rows)
            for c in range(0, width - columns + 1, columns)
        ]

    keys, values = torch.stack(pooled(phi)), torch.stack(pooled(g))
    assert keys.shape[1] == 2
    assert values.shape[1] == 8
    expected = torch.empty_like(x)
    for r in range(height):
        for c in range(width):
            weights = (keys @ (theta @ x[0, :, r, c])).softmax(0)
            expected[0, :, r, c] = x[0, :, r, c] + 0.75 * out @ (weights @ values)
            shown = block.weights_at(x, [(r, c)]).flatten()
            torch.testing.assert_close(shown, weights, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-12)


def test_projections_have_a_spectral_norm_near_1_before_the_first_step():
    torch.manual_seed(0)
    block = SelfAttention2d(64)
    for layer in LAYERS:
        nn.init.constant_(getattr(block, layer).parametrizations.weight.original, 1.0)
    block.init_weights()
    assert block.training
    for layer in LAYERS:
        (largest, *_) = torch.linalg.svdvals(getattr(block.eval(), layer).weight.flatten(1))
        assert abs(largest - 1) < 0.1


def test_a_training_step_improves_the_estimate_of_the_norms_and_a_look_does_not():
    torch.manual_seed(0)
    block, x = SelfAttention2d(16), torch.randn(2, 16, 4, 6)
    nn.init.normal_(block.g.parametrizations.weight.original)

    def error():
        return (torch.linalg.svdvals(block.eval().g.weight.flatten(1))[0] - 1).abs().item()

    before = error()
    block(x)
    assert error() == before
    for _ in range(50):
        block.train()(x)
    assert error() < 1e-3 < before


def test_a_saved_block_goes_on_as_if_it_had_not_been_saved():
    torch.manual_seed(0)
    block, x = SelfAttention2d(16).train(), torch.randn(2, 16, 4, 6)
    nn.init.ones_(block.gamma)
    block(x)
    other = SelfAttention2d(16).train()
    other.load_state_dict(copy.deepcopy(block.state_dict()))
    assert torch.equal(other(x), block(x))
    assert torch.equal(other(x), block(x))


def test_the_norm_is_estimated_in_single_precision_under_autocast():
    """A GPU's autocast would round the products of a power iteration, a CPU's would not."""
    block, seen = SelfAttention2d(16).train(), []
    for layer in LAYERS:
        estimate = getattr(block, layer).parametrizations.weight[0]
        estimate.register_forward_pre_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = block.theta(torch.randn(1, 16, 2, 3))
        assert seen == [True]
        assert out.dtype is torch.bfloat16
        block(torch.randn(2, 16, 4, 6))
    assert seen == [True] + 4 * [False]
