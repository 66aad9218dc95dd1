"""Spatial transformers, against loops over their formula and against turns by right angles."""

import copy
import math
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from plugins.attention.core.cost import count
from plugins.attention.core.site import MapSite, Place
from plugins.attention.core.standing import build, placed
from plugins.attention.core.word import Word
from plugins.attention.maps.spatial_transformer import SpatialTransformer2d
from plugins.contracts.tasks import find_task

WORDS = (
    "spatial_transformer",
    "spatial_transformer:transform=attention",
    "spatial_transformer:transform=rotation",
)
SITE = MapSite(places=(Place.INPUT,), channels=3, size=(9, 14))


def made(word, learned=True):
    """The block, whose transform depends on what it sees if it has learned."""
    torch.manual_seed(0)
    (part,) = Word.parse(word).parts
    block = build(part, SITE)
    if learned:
        with torch.no_grad():
            block.localise[-1].weight.normal_(std=0.3)
            block.localise[-1].bias.add_(0.2 * torch.randn_like(block.localise[-1].bias))
    return block


def fixed(transform, *values):
    """A block that always makes the same transform."""
    block = SpatialTransformer2d(3, transform).double()
    with torch.no_grad():
        block.localise[-1].bias.copy_(torch.tensor(values, dtype=torch.float64))
    return block


def moved(x, theta):
    """Equations (1) and (5) for one map, a position at a time."""
    _, height, width = x.shape
    out = torch.zeros_like(x)
    for row in range(height):
        for column in range(width):
            at = [(2 * column + 1) / width - 1, (2 * row + 1) / height - 1, 1]
            across, down = (theta @ theta.new_tensor(at)).tolist()
            across, down = ((across + 1) * width - 1) / 2, ((down + 1) * height - 1) / 2
            for r in range(height):
                for c in range(width):
                    near = max(0, 1 - abs(across - c)) * max(0, 1 - abs(down - r))
                    out[:, row, column] += near * x[:, r, c]
    return out


@pytest.mark.parametrize("size", [(5, 8), (7, 4)], ids=str)
@pytest.mark.parametrize("word", WORDS)
def test_it_is_its_formula(word, size):
    block = made(word).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    for image, theta, out in zip(x, block.theta(x), block(x), strict=True):
        torch.testing.assert_close(out, moved(image, theta), rtol=1e-10, atol=1e-12)
    assert (block(x) - x).abs().max() > 0.1


@pytest.mark.parametrize("word", WORDS)
def test_it_starts_as_the_identity_whatever_it_sees(word):
    block = made(word, learned=False)
    for x in (torch.randn(2, 3, 5, 8), 100 * torch.rand(1, 3, 33, 20), torch.randn(1, 3, 1, 1)):
        torch.testing.assert_close(block(x), x, rtol=1e-4, atol=1e-4 * x.abs().max().item())


def test_a_right_angle_turns_a_square_as_rot90_does():
    x = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    for quarters in (-1, 1, 2, 3):
        turned = fixed("rotation", quarters * math.pi / 2)(x)
        torch.testing.assert_close(turned, torch.rot90(x, quarters, (2, 3)))


def test_a_right_angle_turns_the_middle_of_a_map_of_any_shape():
    x = torch.randn(1, 3, 4, 10, dtype=torch.float64)
    turned = fixed("rotation", math.pi / 2)(x)
    torch.testing.assert_close(turned[..., 3:7], torch.rot90(x[..., 3:7], 1, (2, 3)))
    assert not turned[..., :3].any()  # from above and below the map
    assert not turned[..., 7:].any()


def test_attention_enlarges_the_part_whose_corners_it_tells():
    x = torch.arange(2 * 48, dtype=torch.float64).view(1, 2, 6, 8).repeat(1, 2, 1, 1)[:, :3]
    block = fixed("attention", 0.5, 0.5, -0.5)
    corners = torch.tensor([[0.5, 0.0], [1.0, 0.0], [1.0, 0.5], [0.5, 0.5]]).double()
    torch.testing.assert_close(block.crop(x)[0], corners)
    # Each second position of the result lies between those of the upper right quarter.
    out, part = block(x), x[..., :3, 4:]
    inside = out[..., 1:-1, 1:-1]
    assert part.min() <= inside.min()
    assert inside.max() <= part.max()
    torch.testing.assert_close(inside.mean((2, 3)), part.mean((2, 3)))


@pytest.mark.parametrize("word", WORDS)
def test_gradients_are_those_of_finite_differences(word):
    block = made(word).double()
    x = torch.randn(2, 3, 3, 5, dtype=torch.float64, requires_grad=True)
    names, values = zip(*block.named_parameters(), strict=True)

    def run(x, *values):
        return torch.func.functional_call(block, dict(zip(names, values, strict=True)), x)

    assert torch.autograd.gradcheck(run, (x, *values), fast_mode=True)


def test_it_learns_to_bring_a_spot_to_the_middle():
    torch.manual_seed(1)
    block = SpatialTransformer2d(1, "attention")
    rows, columns = torch.meshgrid(torch.arange(16.0), torch.arange(16.0), indexing="ij")

    def spots(middles):
        near = [(rows - r) ** 2 + (columns - c) ** 2 for r, c in middles]
        return torch.stack(near).div(-8).exp().unsqueeze(1)

    middle = spots([(7.5, 7.5)])
    places = torch.tensor([(5.0, 9.0), (9.0, 5.0), (10.0, 9.0), (6.0, 6.0)])
    x, optimizer = spots(places), torch.optim.Adam(block.parameters(), lr=0.01)
    before = (x - middle).square().mean()
    for _ in range(100):
        optimizer.zero_grad()
        loss = (block(x) - middle).square().mean()
        loss.backward()
        optimizer.step()
    assert loss < before / 10
    found = block.crop(x).mean(dim=1) * 16 - 0.5  # the middles of the crops, column and row
    torch.testing.assert_close(found, places.flip(1), rtol=0, atol=1.0)


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("size", [(9, 14), (4, 3), (1, 1)], ids=str)
@pytest.mark.parametrize("word", WORDS)
def test_it_multiplies_and_learns_what_its_closed_form_says(word, size, device):
    (part,) = Word.parse(word).parts
    with torch.device(device):
        block, x = build(part, SITE), torch.zeros(2, 3, *size)
    cost = count(block, lambda: block(x), [3, *size], inputs=2)
    form = part.cost(replace(SITE, size=size))
    assert cost.mechanism["executed_macs"] == cost.mechanism["macs"] == form.macs
    assert cost.mechanism["parameters"] == form.parameters
    assert any("grid_sampler" in name for name in cost.uncounted)


@pytest.mark.parametrize("word", WORDS)
def test_the_formula_as_text_gives_the_number(word):
    (part,) = Word.parse(word).parts
    form = part.cost(replace(SITE, size=(8, 12)))
    text = str(form).replace("²", "**2").replace(" + ", "+").replace(" ", "*")
    assert eval(text, {}, {"N": 96, "C": 3, "D": 32, "F": 64}) == form.macs


@pytest.mark.parametrize("word", WORDS)
def test_images_of_a_batch_and_their_layout_in_memory_change_nothing(word):
    block, x = made(word), torch.randn(3, 3, 9, 14)
    out = block(x)
    torch.testing.assert_close(torch.cat([block(image[None]) for image in x]), out)
    last = copy.deepcopy(block).to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(x.contiguous(memory_format=torch.channels_last)), out)
    alone = x[:1].clone().requires_grad_()
    block.train()(alone).square().sum().backward()
    assert all(p.grad.isfinite().all() for p in (alone, *block.parameters()))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("word", WORDS)
def test_in_half_precision_nothing_is_moved_elsewhere(word, kind):
    """Half precision knows positions of a wide map to a few tenths of one only."""
    block, x = made(word), torch.randn(2, 3, 40, 300).to(kind).float()
    expected = block(x)
    with torch.autocast("cpu", dtype=kind):
        out, crop = block(x.to(kind)), block.crop(x.to(kind))
    assert out.dtype == kind
    difference = (out.float() - expected).abs().max()
    assert difference <= 2 * torch.finfo(kind).eps * expected.abs().max()
    torch.testing.assert_close(crop, block.crop(x))


@pytest.mark.parametrize("word", WORDS)
def test_it_compiles_into_one_graph(word):
    block, x = made(word), torch.randn(2, 3, 5, 7)
    compiled = torch.compile(block, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(x), block(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(compiled(x.bfloat16()), block(x.bfloat16()))


@pytest.mark.parametrize("word", WORDS)
def test_a_network_that_initialises_all_its_layers_leaves_the_identity(word):
    from mmengine.model import Sequential

    kinds = [{"type": "Kaiming", "layer": "Conv2d"}, {"type": "Normal", "layer": "Linear"}]
    net, x = Sequential(made(word), init_cfg=kinds), torch.randn(2, 3, 5, 7)
    net.init_weights()
    torch.testing.assert_close(net(x), x, rtol=1e-4, atol=1e-4)


def test_it_stands_at_the_image_and_behind_a_stage_by_its_path():
    word, labelled = Word.parse("spatial_transformer"), find_task("detection")
    recipe = labelled.Recipe()
    for name, place in [("image", Place.INPUT), ("after:layer2", Place.INPUT)]:
        site = replace(labelled.site(name, recipe), aligned=False)
        assert list(placed(word, {name: site})[name]) == [place]
    stage = replace(labelled.site("conv4", recipe), aligned=False)
    with pytest.raises(ValueError, match="before the network or after the backbone, and there is"):
        placed(word, {"conv4": stage})


@pytest.mark.parametrize(
    ("task", "site"),
    [
        *[("detection", site) for site in ("image", "after:layer2")],
        *[("segmentation", site) for site in ("image", "head", "after:layer2")],
    ],
)
def test_where_boxes_and_masks_would_stay_behind_it_is_refused(task, site):
    task = find_task(task)
    reason = f"cannot stand at '{site}': it moves what the network sees, and boxes or masks would"
    with pytest.raises(ValueError, match=re.escape(reason)):
        task.check(Word.parse("spatial_transformer"), (site,), task.Recipe())


def test_an_unknown_transform_is_told_with_the_known_ones():
    with pytest.raises(ValueError, match="transform=shear: Input should be 'affine', 'attention'"):
        Word.parse("spatial_transformer:transform=shear")
    assert isinstance(SpatialTransformer2d(3), nn.Module)
    with pytest.raises(ValueError, match="transform must be affine, attention, rotation; got 'sh"):
        SpatialTransformer2d(3, "shear")
