"""Criss-cross attention against mmcv's module, against its formula, and how far it reaches."""

import pytest
import torch
from mmcv.ops import CrissCrossAttention
from torch import nn

from plugins.attention.maps.criss_cross import CrissCross2d


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


@pytest.mark.parametrize("size", [(5, 7), (7, 4), (1, 3), (3, 1), (1, 1)], ids=str)
@pytest.mark.parametrize("recurrences", [1, 2, 3])
def test_it_is_mmcvs_as_often(recurrences, size):
    theirs = randomised(CrissCrossAttention(16))
    ours = CrissCross2d(16, recurrences).double()
    state = dict(theirs.state_dict())
    state["gamma"] = state.pop("gamma.scale").view(1)
    ours.load_state_dict(state)
    x = torch.randn(2, 16, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, expected = ours(x), y
    for _ in range(recurrences):
        expected = theirs(expected)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    out.sin().sum().backward()
    expected.sin().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-10)


def matrix_of(block, x):
    """The weights of all pairs, (H * W, H * W), by a loop over each cross."""
    height, width = x.shape[-2:]
    query, key = block.query_conv(x)[0], block.key_conv(x)[0]
    matrix = x.new_zeros(height * width, height * width)
    for r, c in torch.cartesian_prod(torch.arange(height), torch.arange(width)).tolist():
        cross = [(i, c) for i in range(height) if i != r] + [(r, j) for j in range(width)]
        assert len(cross) == height + width - 1
        energies = torch.stack([query[:, r, c] @ key[:, i, j] for i, j in cross])
        for (i, j), weight in zip(cross, energies.softmax(0), strict=True):
            matrix[r * width + c, i * width + j] = weight
    return matrix


def test_it_is_its_formula_and_shows_what_it_weighs():
    block = randomised(CrissCross2d(8))
    x = torch.randn(1, 8, 3, 5, dtype=torch.float64)
    expected, matrices = x, []
    for _ in range(2):
        matrices.append(matrix_of(block, expected))
        value = block.value_conv(expected).flatten(2)
        expected = block.gamma * (value @ matrices[-1].T).view_as(x) + expected
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-12)
    shown = block.weights_at(x, [(1, 2), (2, 4)])[0, 0].flatten(1)
    both = matrices[1] @ matrices[0]
    torch.testing.assert_close(shown, both[[7, 14]], rtol=1e-10, atol=1e-12)
    block.recurrences = 1
    shown = block.weights_at(x, [(1, 2), (2, 4)])[0, 0].flatten(1)
    torch.testing.assert_close(shown, matrices[0][[7, 14]], rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("position", [(0, 0), (2, 3), (4, 6)])
def test_twice_it_reaches_every_pixel_and_once_its_cross_alone(position):
    row, column = position
    for recurrences in (1, 2):
        block = randomised(CrissCross2d(8, recurrences))
        x = torch.randn(1, 8, 5, 7, dtype=torch.float64, requires_grad=True)
        block(x)[0, :, row, column].sum().backward()
        reached = (x.grad[0] != 0).any(dim=0)
        cross = torch.zeros(5, 7, dtype=torch.bool)
        cross[row], cross[:, column] = True, True
        assert torch.equal(reached, cross if recurrences == 1 else torch.ones_like(cross))


def test_large_energies_stay_finite_in_half_precision():
    torch.manual_seed(0)
    block = CrissCross2d(32)
    nn.init.ones_(block.gamma)
    for layer in (block.query_conv, block.key_conv):
        nn.init.normal_(layer.weight, std=30)
    x = 10 * torch.randn(1, 32, 4, 6)
    with torch.autocast("cpu", dtype=torch.float16):
        # Energies of some millions, above what float16 holds.
        assert block(x).isfinite().all()
