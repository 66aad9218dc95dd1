"""Global context blocks against mmcv's, and against their formula by a loop."""

import pytest
import torch
from mmcv.cnn import ContextBlock
from torch import nn

from plugins.attention.maps.global_context import GlobalContext2d


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


@pytest.mark.parametrize("size", [(5, 7), (1, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("reduction", [1, 4])
def test_it_is_mmcvs(reduction, size):
    theirs = randomised(ContextBlock(8, ratio=1 / reduction))
    ours = GlobalContext2d(8, reduction).double()
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, expected = ours(x), theirs(y)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    out.sin().sum().backward()
    expected.sin().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-10)


def test_it_is_its_formula():
    block = randomised(GlobalContext2d(6, reduction=2))
    x = torch.randn(1, 6, 3, 4, dtype=torch.float64)
    points = x[0].flatten(1).T
    mask, (first, norm, _, last) = block.conv_mask, block.channel_add_conv
    energies = torch.stack([mask.weight.flatten() @ point + mask.bias[0] for point in points])
    shares = energies.exp() / energies.exp().sum()
    context = sum(share * point for share, point in zip(shares, points, strict=True))
    hidden = first.weight.flatten(1) @ context + first.bias
    deviation = (hidden.var(correction=0) + 1e-5).sqrt()
    hidden = (hidden - hidden.mean()) / deviation * norm.weight.flatten() + norm.bias.flatten()
    added = last.weight.flatten(1) @ hidden.relu() + last.bias
    expected = x + added.view(1, 6, 1, 1)
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(block.weights(x), shares.view(1, 3, 4), rtol=1e-10, atol=1e-12)


def test_all_positions_receive_the_same():
    block = randomised(GlobalContext2d(8, reduction=2))
    x = torch.randn(2, 8, 4, 5, dtype=torch.float64)
    added = block(x) - x
    torch.testing.assert_close(added, added[..., :1, :1].expand_as(added))
    assert not torch.allclose(added[0], added[1])
