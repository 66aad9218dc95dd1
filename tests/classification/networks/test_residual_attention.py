"""Residual Attention Network, against its equations written out."""

import pytest
import torch
import torch.nn.functional as F

from plugins.attention.core.cost import count
from plugins.attention.maps.residual_attention import MaskBranch, ResidualUnit
from plugins.classification.networks.residual_attention import (
    AttentionModule,
    ResidualAttentionNetwork,
)

from .small import made


class ByHand:
    """The equations on a state dict, in evaluation."""

    def __init__(self, module):
        self.state = module.state_dict()

    def norm(self, name, x):
        mean, var, weight, bias = (
            self.state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return ((x - mean) / (var + 1e-5).sqrt() * weight + bias).clamp(min=0)

    def point(self, name, x):
        out = torch.einsum("oi,nihw->nohw", self.state[f"{name}.weight"][:, :, 0, 0], x)
        bias = self.state.get(f"{name}.bias")
        return out if bias is None else out + bias[:, None, None]

    def unit(self, name, x):
        out = self.point(f"{name}.layers.2", self.norm(f"{name}.layers.0", x))
        height, width = x.shape[-2:]
        padded = F.pad(self.norm(f"{name}.layers.3", out), [1] * 4)
        weight = self.state[f"{name}.layers.5.weight"]
        out = sum(
            torch.einsum(
                "oi,nihw->nohw",
                weight[:, :, r, c],
                padded[:, :, r : r + height, c : c + width],
            )
            for r in range(3)
            for c in range(3)
        )
        return x + self.point(f"{name}.layers.8", self.norm(f"{name}.layers.6", out))

    def mask(self, name, x, levels):
        out = self.below(name, pooled(x), 0, levels)
        out = self.norm(f"{name}.head.0", enlarged(out, x.shape[-2:]))
        out = self.norm(f"{name}.head.3", self.point(f"{name}.head.2", out))
        return 1 / (1 + (-self.point(f"{name}.head.5", out)).exp())

    def below(self, name, x, level, levels):
        """What a level makes of the pooled map, by itself and what is below it."""
        x = self.unit(f"{name}.down.{level}", x)
        if level == levels - 1:
            return self.unit(f"{name}.bottom", x)
        beside = self.unit(f"{name}.skip.{level}", x)
        under = self.below(name, pooled(x), level + 1, levels)
        return self.unit(f"{name}.up.{levels - 2 - level}", enlarged(under, x.shape[-2:]) + beside)


def pooled(x):
    rows, columns = ((side + 1) // 2 for side in x.shape[-2:])
    out = x.new_empty(*x.shape[:2], rows, columns)
    for r in range(rows):
        for c in range(columns):
            window = x[:, :, max(0, 2 * r - 1) : 2 * r + 2, max(0, 2 * c - 1) : 2 * c + 2]
            out[:, :, r, c] = window.amax(dim=(2, 3))
    return out


def enlarged(x, size):
    """Bilinear, so that corners lie on corners."""
    (height, width), (rows, columns) = x.shape[-2:], size
    out = x.new_empty(*x.shape[:2], rows, columns)
    for r in range(rows):
        for c in range(columns):
            y, z = r * (height - 1) / max(1, rows - 1), c * (width - 1) / max(1, columns - 1)
            out[:, :, r, c] = sum(
                (1 - abs(y - i)) * (1 - abs(z - j)) * x[:, :, i, j]
                for i in range(height)
                for j in range(width)
                if abs(y - i) < 1 and abs(z - j) < 1
            )
    return out


@pytest.mark.parametrize("learning", ["residual", "naive", "none"])
@pytest.mark.parametrize(("levels", "size"), [(1, (4, 7)), (2, (6, 5)), (3, (9, 8))], ids=str)
def test_a_module_is_its_equation(levels, size, learning):
    torch.manual_seed(0)
    module = AttentionModule(8, levels, learning).double()
    for value in module.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.2, 1).mul_(torch.randn_like(value).sign() if value.dim() > 1 else 1)
    hand, x = ByHand(module.eval()), torch.randn(2, 8, *size, dtype=torch.float64)
    first = hand.unit("first", x)
    trunk = hand.unit("trunk.1", hand.unit("trunk.0", first))
    if learning == "none":
        gated = trunk
    else:
        mask = hand.mask("mask", first, levels)
        gated = {"residual": (1 + mask) * trunk, "naive": mask * trunk}[learning]
        torch.testing.assert_close(module.mask(first), mask)
    torch.testing.assert_close(module(x), hand.unit("last", gated))


@pytest.mark.parametrize(
    ("modules", "parameters", "products"), [((1, 1, 1), 31.9e6, 6.2e9), ((1, 2, 3), 51.3e6, 10.4e9)]
)
def test_the_published_networks_have_about_their_published_size(modules, parameters, products):
    """Table 2 of the paper, whose text leaves the smallest layers open."""
    with torch.device("meta"):
        network, image = (
            ResidualAttentionNetwork(1000, modules=modules),
            torch.zeros(1, 3, 224, 224),
        )
    counted = count(network, lambda: network(image), [3, 224, 224]).model
    assert counted["parameters"] == pytest.approx(parameters, rel=0.03)
    assert counted["macs"] == pytest.approx(products, rel=0.02)


@pytest.mark.parametrize("modules", [(1, 1, 1), (1, 2, 3)], ids=str)
def test_their_names_are_the_layers_of_the_trunk(modules):
    """The first convolution, three in each unit of the trunk, and the classifier."""
    with torch.device("meta"):
        network = ResidualAttentionNetwork(1000, modules=modules)
    units = [
        name
        for name, layer in network.named_modules()
        if isinstance(layer, ResidualUnit) and ".mask." not in name
    ]
    assert 1 + 3 * len(units) + 1 == {(1, 1, 1): 56, (1, 2, 3): 92}[modules]


@pytest.mark.parametrize(("levels", "size"), [(1, (6, 10)), (2, (8, 12)), (3, (16, 24))], ids=str)
def test_a_mask_costs_its_closed_form(levels, size):
    """Units at the lowest level twice, at each other one three times, and two layers at the top."""
    channels, positions = 16, size[0] * size[1]
    module, x = MaskBranch(channels, levels), torch.zeros(1, channels, *size)
    unit = channels**2 * (1 / 4 + 9 / 16 + 1 / 4)
    expected = 2 * positions * channels**2
    for level in range(1, levels + 1):
        expected += (2 if level == levels else 3) * unit * positions / 4**level
    assert count(module, lambda: module(x), [channels, *size]).model["macs"] == expected


def test_what_is_looked_at_is_the_mean_of_each_mask():
    network = made("residual attention", modules=(2, 1)).eval()
    masks, hooks = [], []
    for layer in network.modules():
        if isinstance(layer, MaskBranch):
            hooks.append(layer.register_forward_hook(lambda *given: masks.append(given[-1])))
    images = torch.randn(2, 3, 20, 28)
    network(images)
    for hook in hooks:
        hook.remove()
    found = network.looked(images)
    assert list(found) == ["stage1.1", "stage1.2", "stage2.1"]
    for seen, mask in zip(found.values(), masks, strict=True):
        torch.testing.assert_close(seen, mask.mean(dim=1))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"learning": "hard"}, "learning must be one of residual, naive, none"),
        ({"modules": (1,)}, "3 widths need 2 numbers of modules"),
        ({"levels": (1, 0)}, "levels must be positive"),
        ({"stem": 3}, "stem must be 1, 2 or 4"),
    ],
)
def test_what_makes_no_network_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        made("residual attention", **options)
