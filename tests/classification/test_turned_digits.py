"""The proof of spatial transformers: what it measures, on digits and transforms that are plain."""

from __future__ import annotations

import random
import sys

import pytest
import torch
from PIL import Image
from torch import nn

from plugins.attention.maps.spatial_transformer import SpatialTransformer2d
from plugins.classification.proofs import spatial_transformer
from plugins.classification.proofs.spatial_transformer import angle, turned
from plugins.classification.proofs.training import fit

BAR = Image.new("L", (4, 20), 255)  # upright


def drawn(monkeypatch, shift=0, number=6):
    monkeypatch.setattr(spatial_transformer, "SHIFT", shift)
    return turned([[BAR] * number, [BAR]], random.Random(0))


def test_angles_are_those_of_the_digits(monkeypatch):
    split, angles = drawn(monkeypatch)
    assert split.images.shape == (7, 1, 40, 40)
    assert split.labels.tolist() == [0] * 6 + [1]
    assert (angles.abs() <= 60).all()
    rows, columns = torch.meshgrid(torch.arange(40.0), torch.arange(40.0), indexing="ij")
    for image, turn in zip(split.images[:, 0], angles, strict=True):
        x, y = columns - 19.5, 19.5 - rows  # upwards
        across, along = ((image * each).sum() for each in (x * x - y * y, 2 * x * y))
        axis = torch.rad2deg(torch.atan2(along, across) / 2)  # of the bar, from -90 to 90
        off = (axis - (90 + turn)).remainder(180)
        assert min(off, 180 - off) < 3


def test_the_transform_of_an_angle_turns_a_digit_upright(monkeypatch):
    split, angles = drawn(monkeypatch)
    block = SpatialTransformer2d(1)
    for image, turn in zip(split.images, angles, strict=True):
        cos, sin = torch.deg2rad(turn).cos().item(), torch.deg2rad(turn).sin().item()
        with torch.no_grad():
            block.localise[-1].bias.copy_(torch.tensor([cos, sin, 0, -sin, cos, 0]))
            out = block(image[None])[0, 0]
            assert angle(block.theta(image[None])).item() == pytest.approx(turn.item(), abs=1e-3)
        assert out.max(dim=1).values.gt(0.5).sum() > 2 * out.max(dim=0).values.gt(0.5).sum()


def test_scale_shift_and_a_little_shear_leave_the_angle():
    turn = torch.tensor([[0.5**0.5, 0.5**0.5], [-(0.5**0.5), 0.5**0.5]])
    stretched = turn @ torch.tensor([[1.3, 0.2], [0.2, 0.7]])  # symmetric: no turn
    theta = torch.cat([stretched, torch.tensor([[0.4], [-0.3]])], dim=1)
    assert angle(theta[None]).item() == pytest.approx(45, abs=1e-3)


def test_a_constant_error_of_the_angle_does_not_count_as_spread():
    angles = torch.tensor([-80.0, -10, 35, 70])
    correlation, before, after = spatial_transformer._compared(angles + 15, angles)
    assert correlation == pytest.approx(1)
    assert before == pytest.approx(angles.std().item())
    assert after == pytest.approx(0, abs=1e-4)
    _, _, unturned = spatial_transformer._compared(torch.randn(4) * 1e-3, angles)
    assert unturned == pytest.approx(before, rel=1e-3)


class Two(nn.Module):
    """Two parts that get the same gradient."""

    def __init__(self):
        super().__init__()
        self.slow, self.fast = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)

    def loss(self, images, labels):
        x = images.mean(dim=(1, 2, 3))[:, None]
        return {"loss": (self.slow(x) + self.fast(x)).mean()}


def test_a_part_learns_at_its_own_rate():
    network = Two()
    before = [part.weight.item() for part in (network.slow, network.fast)]
    images = torch.ones(64, 1, 12, 12)
    data = spatial_transformer.Split(images, torch.zeros(64).long(), torch.empty(0))
    fit(network, data, epochs=4, rate=0.1, seed=0, factors={"slow": 0.1})
    slow, fast = (
        abs(part.weight.item() - was)
        for part, was in zip((network.slow, network.fast), before, strict=True)
    )
    assert slow == pytest.approx(fast / 10, rel=0.1)


@pytest.mark.train
def test_it_writes_a_row_for_each_network(tmp_path, monkeypatch):
    monkeypatch.setattr(
        spatial_transformer,
        "read_digits",
        lambda package: [[BAR] * 200, [BAR.resize((9, 9))] * 200],
    )
    table = tmp_path / "tables/proof.csv"
    monkeypatch.setattr(sys, "argv", ["prove", "no package", str(table)])
    stages = ((0.0, 6, 0.0, 1.0), (60.0, 2, 1.0, 0.0), (60.0, 4, 1.0, 1.0))
    monkeypatch.setattr(spatial_transformer, "STAGES", stages)
    spatial_transformer._prove()
    head, alone, *transforms = table.read_text().splitlines()
    assert head == "transform,seed,error,correlation,spread,spread_rectified"
    assert alone.startswith("none,0,")
    assert alone.endswith(",,,")
    for name, line in zip(spatial_transformer.TRANSFORMS, transforms, strict=True):
        assert line.startswith(f"{name},0,")
        error, correlation, spread, _ = map(float, line.split(",")[2:])
        assert 0 <= error < 0.4  # of two shapes
        assert abs(correlation) <= 1
        assert spread == pytest.approx(120 / 12**0.5, rel=0.25)
