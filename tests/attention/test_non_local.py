"""Non-local blocks against mmcv's, and against their formula by a loop."""

import math

import pytest
import torch
from mmcv.cnn import NonLocal2d as Mmcvs
from torch import nn

from plugins.attention.maps.non_local import NonLocal2d

MODES = ["gaussian", "embedded_gaussian", "dot_product", "concatenation"]


def randomised(module):
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.5)
    return module.double()


def same_as(theirs, **options):
    """Our block with the weights of mmcv's."""
    ours = NonLocal2d(8, **options).double()
    state = {}
    for name, value in theirs.state_dict().items():
        # g.conv.weight, or g.0.conv.weight before pooling; conv_out.bn.weight.
        layer, kind = name.split(".")[0], name.split(".")[-1]
        state[f"{'norm' if '.bn.' in name else layer}.{kind}"] = value
    ours.load_state_dict(state)
    return ours


@pytest.mark.parametrize("size", [(5, 7), (4, 6), (2, 3)], ids=str)
@pytest.mark.parametrize("subsample", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_it_is_mmcvs(mode, subsample, size):
    theirs = randomised(Mmcvs(8, mode=mode, sub_sample=subsample))
    ours = same_as(theirs, mode=mode, subsample=subsample)
    x = torch.randn(2, 8, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    out, expected = ours(x), theirs(y)
    torch.testing.assert_close(out, expected, rtol=1e-10, atol=1e-12)
    if mode == "concatenation":
        return  # mmcv divides a ReLU's output in place, and cannot be differentiated
    out.sin().sum().backward()
    expected.sin().sum().backward()
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", MODES)
def test_it_is_its_formula(mode):
    block = randomised(NonLocal2d(6, mode=mode, reduction=3))
    x = torch.randn(1, 6, 2, 3, dtype=torch.float64)
    points = x[0].flatten(1).T

    def through(name, point):
        layer = getattr(block, name)
        return layer.weight.flatten(1) @ point + layer.bias

    def energy(a, b):
        if mode == "gaussian":
            return (a @ b).exp()
        a, b = through("theta", a), through("phi", b)
        if mode == "concatenation":
            return (block.concat_project.weight.flatten() @ torch.cat([a, b])).relu()
        return a @ b if mode == "dot_product" else (a @ b / math.sqrt(2)).exp()

    rows = []
    for a in points:
        f = torch.stack([energy(a, b) for b in points])
        total = f.sum() if "gaussian" in mode else len(points)
        y = sum(weight * through("g", b) for weight, b in zip(f / total, points, strict=True))
        rows.append(a + through("conv_out", y))
    expected = torch.stack(rows).T.view_as(x)
    torch.testing.assert_close(block(x), expected, rtol=1e-10, atol=1e-12)
    # The weights shown are those that were used.
    weights = block.weights_at(x, [(0, 1), (1, 2)])
    value = block.g(x).flatten(2)
    attended = torch.einsum("ndk,nqk->ndq", value, weights.flatten(3)[:, 0])
    projected = block.conv_out(attended[..., None])[..., 0]
    at = torch.stack([x[..., 0, 1], x[..., 1, 2]], dim=2)
    shown = torch.stack([expected[..., 0, 1], expected[..., 1, 2]], dim=2)
    torch.testing.assert_close(at + projected, shown, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", ["gaussian", "embedded_gaussian"])
def test_large_energies_stay_finite_in_half_precision(mode):
    torch.manual_seed(0)
    block = NonLocal2d(32, mode=mode)
    for name, layer in block.named_children():
        nn.init.normal_(layer.weight, std=5 if name in ("theta", "phi") else 0.1)
    with torch.autocast("cpu", dtype=torch.float16):
        # Energies of 3e5 and more, above what float16 holds.
        assert block((100 * torch.randn(1, 32, 6, 9)).half()).isfinite().all()


def test_a_far_object_is_seen():
    block = randomised(NonLocal2d(4))
    x = torch.randn(1, 4, 6, 9, dtype=torch.float64)
    swapped = x.clone()
    swapped[..., 5, 8] = torch.randn(4, dtype=torch.float64)
    assert (block(x) - block(swapped))[0, :, 0, 0].abs().min() > 1e-6


def test_batch_normalisation_is_mmcvs():
    theirs = randomised(Mmcvs(8, norm_cfg={"type": "BN"}))
    ours = same_as(theirs, batch_norm=True)
    x = torch.randn(2, 8, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-10, atol=1e-12)
    norm = theirs.conv_out.bn
    torch.testing.assert_close(ours.norm.running_var, norm.running_var)


def test_with_frozen_statistics_batch_normalisation_learns_on_any_map():
    """Detection keeps them at mean 0 and variance 1, so that a map of one position is no harm."""
    torch.manual_seed(0)
    block = NonLocal2d(8, batch_norm=True).train()
    block.norm.eval()
    x = torch.randn(1, 8, 1, 1)
    assert torch.equal(block(x), x)
    optimizer = torch.optim.SGD(block.parameters(), lr=1.0)
    for _ in range(2):
        optimizer.zero_grad()
        block(x).sum().backward()
        optimizer.step()
    assert not torch.equal(block(x), x)
    assert (block.norm.running_mean == 0).all()
    assert (block.norm.running_var == 1).all()


def test_concatenation_is_evaluated_with_fewer_products_than_mmcvs():
    """The closed form is that of the definition; pairs are projected before they are formed."""
    from plugins.attention.core.cost import count
    from plugins.attention.core.site import MapSite
    from plugins.attention.mechanisms.non_local import NonLocal

    x = torch.zeros(1, 8, 5, 7)
    for options in ({}, {"subsample": True}):
        part = NonLocal(mode="concatenation", **options)
        form = part.cost(MapSite(channels=8, size=(5, 7)))
        theirs = Mmcvs(8, mode="concatenation", sub_sample=part.subsample)
        assert count(theirs, lambda net=theirs: net(x), []).model["macs"] == form.macs
        ours = part.build(MapSite(channels=8))
        keys = 2 * 3 if part.subsample else 35
        cheap = 4 * 35 * 8 * 4 + 35 * 4 + keys * 4 + 35 * keys * 4
        assert count(ours, lambda net=ours: net(x), []).model["macs"] == cheap < form.macs
