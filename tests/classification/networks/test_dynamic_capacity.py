"""Dynamic Capacity Network, against loops over its definition."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from plugins.attention.core.cost import count
from plugins.classification.networks.dynamic_capacity import (
    DynamicCapacityNetwork,
    coarse_layers,
    fine_layers,
    merged,
    top_layers,
)

from .small import CLASSES, made


def network_and_images(size=(32, 44), **options):
    network = made("dynamic capacity", **options).double().eval()
    return network, torch.randn(2, 3, *size, dtype=torch.float64)


def entropy(network, cells):
    p = network.top(cells[None]).softmax(dim=1)[0]
    return -(p * p.log()).sum()


def test_saliency_is_the_norm_of_the_entropys_gradient():
    network, images = network_and_images()
    with torch.no_grad():
        coarse = network.coarse(images)
        found = network.saliency(coarse)
        assert found.shape == (2, 6, 9)
        step = 1e-6
        for image, row, column in [(0, 0, 0), (0, 2, 5), (1, 3, 3), (1, 5, 8)]:
            slopes = []
            for channel in range(coarse.shape[1]):
                higher, lower = coarse[image].clone(), coarse[image].clone()
                higher[channel, row, column] += step
                lower[channel, row, column] -= step
                slopes.append((entropy(network, higher) - entropy(network, lower)) / (2 * step))
            expected = torch.stack(slopes).square().sum().sqrt()
            torch.testing.assert_close(found[image, row, column], expected, rtol=1e-5, atol=1e-8)


def by_loops(network, image):
    """The refined logits of one image, a patch at a time, and the sum of the hint."""
    coarse = network.coarse(image[None])[0]
    saliency = network.saliency(coarse[None])[0]
    rows, columns = saliency.shape
    ranked = sorted(
        ((row, column) for row in range(rows) for column in range(columns)),
        key=lambda cell: -saliency[cell],
    )
    refined, distance = coarse.clone(), 0.0
    for row, column in ranked[: network.patches]:
        patch = torch.zeros(3, network.patch, network.patch, dtype=image.dtype)
        # A cell sees pixels 4 r to 4 r + 10; the patch has the same middle, or half a pixel less.
        first = [4 * at + (11 - network.patch) // 2 for at in (row, column)]
        for y in range(network.patch):
            for x in range(network.patch):
                at = first[0] + y, first[1] + x
                if 0 <= at[0] < image.shape[1] and 0 <= at[1] < image.shape[2]:
                    patch[:, y, x] = image[:, at[0], at[1]]
        vector = network.fine(patch[None])[0, :, 0, 0]
        distance = distance + (coarse[:, row, column] - vector).square().sum()
        refined[:, row, column] = vector
    return network.top(refined[None])[0], distance


@pytest.mark.parametrize("patch", [6, 10, 14])
def test_the_most_salient_cells_are_replaced_by_fine_features(patch):
    network, images = network_and_images(patch=patch, patches=4)
    for image, logits in zip(images, network(images), strict=True):
        torch.testing.assert_close(logits, by_loops(network, image)[0])


def test_the_hint_is_the_distance_of_both_features_and_teaches_the_coarse_ones_alone():
    network, images = network_and_images(hint=0.25)
    losses = network.loss(images, torch.tensor([1, 3]))
    expected = 0.25 * sum(by_loops(network, image)[1] for image in images) / (2 * network.patches)
    torch.testing.assert_close(losses["loss_hint"], expected)
    torch.testing.assert_close(
        losses["loss"], nn.functional.cross_entropy(network(images), torch.tensor([1, 3]))
    )
    losses["loss_hint"].backward()
    assert all(parameter.grad is None for parameter in network.fine.parameters())
    assert all(parameter.grad is None for parameter in network.top.parameters())
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.coarse.parameters())


def test_refined_cells_teach_the_fine_layers_and_the_others_the_coarse_ones():
    network, images = network_and_images(hint=0.0)
    coarse = network.coarse(images).detach().requires_grad_()
    cells = network.choose(coarse)
    fine = network.seen(images, cells)
    network.top(merged(coarse, fine, cells)).square().sum().backward()
    gradient = coarse.grad.flatten(2)
    for image in range(2):
        assert (gradient[image, :, cells[image]] == 0).all()
    assert gradient.abs().sum() > 0
    assert network.fine[0].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("recording", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_saliency_leaves_no_gradient_behind(recording):
    network, images = network_and_images()
    with recording():
        network.saliency(network.coarse(images))
    assert all(parameter.grad is None for parameter in network.parameters())


def test_sure_predictions_still_have_salient_cells_in_half_precision():
    network = made("dynamic capacity").eval()
    images = torch.randn(2, 3, 32, 44)
    with torch.no_grad():
        network.top[-1].weight.mul_(3)
        network.top[-1].bias[2] = 12
        expected = network.saliency(network.coarse(images))
        with torch.autocast("cpu", dtype=torch.float16):
            found = network.saliency(network.coarse(images))
    assert 0 < expected.max() < 1e-3
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.1, atol=0.05 * expected.max().item())


@pytest.mark.parametrize("size", [(32, 44), (57, 39)], ids=str)
@pytest.mark.parametrize("patches", [0, 1, 5])
def test_it_multiplies_what_its_closed_form_says(patches, size):
    network, images = made("dynamic capacity", patches=patches), torch.randn(2, 3, *size)
    counted = count(network, lambda: network(images), [3, *size], inputs=2)
    assert counted.model["macs"] == network.cost(*size)


def test_eight_patches_cost_less_than_a_third_of_the_fine_network():
    """On images of the paper's size, 100 pixels."""
    whole, image = nn.Sequential(fine_layers(), top_layers(10)), torch.zeros(1, 3, 100, 100)
    fine = count(whole, lambda: whole(image), [3, 100, 100]).model["macs"]
    costs = [DynamicCapacityNetwork(10, patches=patches).cost(100, 100) for patches in range(10)]
    assert costs[8] < fine / 3
    assert len({after - before for before, after in pairwise(costs[1:])}) == 1


def test_a_cell_sees_the_pixels_that_its_patch_is_cut_from():
    layers = coarse_layers(3, 4).double().eval()
    image = torch.randn(1, 3, 35, 43, dtype=torch.float64, requires_grad=True)
    out = layers(image)
    assert out.shape[-2:] == (7, 9)
    (gradient,) = torch.autograd.grad(out[0, :, 2, 5].sum(), image)
    rows, columns = gradient[0].abs().sum(dim=0).nonzero().unbind(1)
    assert rows.min() >= 8
    assert rows.max() <= 18
    assert columns.min() >= 20
    assert columns.max() <= 30


def test_patches_that_are_shown_are_those_that_are_seen():
    network, images = network_and_images(patch=10, patches=2)
    found = network.looked(images)
    for image, shown in zip(images, found["patches"], strict=True):
        cells = network.choose(network.coarse(image[None]))
        expected = torch.zeros_like(shown)
        for top, left in zip(*(x[0].tolist() for x in network.corners(image, cells)), strict=True):
            expected[max(0, top) : top + 10, max(0, left) : left + 10] += 1
        assert torch.equal(shown, expected)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"patches": -1}, "patches must be 0 or more, got -1"),
        ({"patch": 12}, "patch must be 6, 10, 14 or 4 more, as pooling needs, got 12"),
    ],
)
def test_what_makes_no_network_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        made("dynamic capacity", **options)


def test_more_patches_than_cells_are_refused():
    network, images = network_and_images((24, 24), patches=17)
    with pytest.raises(ValueError, match="17 patches are more than the 16 cells"):
        network(images)
    assert made("dynamic capacity", patches=16).double().eval()(images).shape == (2, CLASSES)
