"""RA-CNN, against loops over its equations."""

import math
from itertools import pairwise

import pytest
import torch

from plugins.attention.core.cost import count
from plugins.classification.networks.recurrent_attention import (
    Proposal,
    around_peak,
    boxcar,
    closer,
)

from .small import CLASSES, made

LABELS = torch.tensor([1, 3])


def network_and_images(size=(32, 44), **options):
    network = made("recurrent attention", **options).double()
    return network, torch.randn(2, 3, *size, dtype=torch.float64)


def h(z):
    return 1 / (1 + math.exp(-10 * z))


def masked(image, box):
    """X * M, where the middle of a pixel is half a pixel from its edge."""
    height, width = image.shape[-2:]
    (x0, x1), (y0, y1) = ([end * size for end in ends] for ends, size in (
        (box[0::2], width), (box[1::2], height)
    ))  # fmt: skip
    tx, ty, half_x, half_y = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2, (y1 - y0) / 2
    mask = torch.tensor(
        [
            [
                (h(x - tx + half_x) - h(x - tx - half_x))
                * (h(y - ty + half_y) - h(y - ty - half_y))
                for x in (column + 0.5 for column in range(width))
            ]
            for y in (row + 0.5 for row in range(height))
        ],
        dtype=image.dtype,
    )
    return image * mask, mask


BOXES = torch.tensor([[0.1, 0.25, 0.6, 0.75], [0.31, 0.0, 1.0, 0.69]], dtype=torch.float64)


def test_the_mask_is_its_formula():
    found = boxcar(BOXES, 5, 8)
    for box, mask in zip(BOXES, found, strict=True):
        torch.testing.assert_close(mask, masked(torch.ones(3, 5, 8).double(), box.tolist())[1])


def test_a_crop_is_the_bilinear_enlargement_of_what_is_masked():
    images = torch.randn(2, 3, 5, 8, dtype=torch.float64)
    found = closer(images, BOXES)
    assert found.shape == images.shape
    for image, box, crop in zip(images, BOXES, found, strict=True):
        inside, _ = masked(image, box.tolist())
        x0, y0, x1, y1 = box.tolist()
        for row in range(5):
            for column in range(8):
                # Where this pixel's middle lies in the image, and between which middles there.
                y = (y0 + (row + 0.5) / 5 * (y1 - y0)) * 5 - 0.5
                x = (x0 + (column + 0.5) / 8 * (x1 - x0)) * 8 - 0.5
                y, x = min(max(y, 0), 4), min(max(x, 0), 7)
                expected = sum(
                    (1 - abs(y - i)) * (1 - abs(x - j)) * inside[:, i, j]
                    for i in range(5)
                    for j in range(8)
                    if abs(y - i) < 1 and abs(x - j) < 1
                )
                torch.testing.assert_close(crop[:, row, column], expected)


def test_gradients_of_a_crop_are_those_of_finite_differences():
    images = torch.randn(2, 2, 4, 6, dtype=torch.float64, requires_grad=True)
    boxes = BOXES.clone().requires_grad_()
    assert torch.autograd.gradcheck(closer, (images, boxes))


@pytest.mark.parametrize("value", [-60.0, -1.0, 0.0, 1.0, 60.0])
def test_a_proposal_lies_in_the_image_and_is_no_smaller_than_allowed(value):
    proposal = Proposal(4, 5, 0.25).double()
    features = torch.randn(3, 4, 7, 9, dtype=torch.float64)
    with torch.no_grad():
        proposal.layers[-1].weight.mul_(1 + abs(value))
        proposal.layers[-1].bias.fill_(value)
    boxes = proposal(features)
    sides = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(sides[:, 0], sides[:, 1])
    assert boxes.min() >= 0
    assert boxes.max() <= 1 + 1e-12
    assert sides.min() >= 0.25 - 1e-12


def test_in_half_precision_boxes_move_by_less_than_a_pixel():
    network = made("recurrent attention").eval()
    images = torch.randn(2, 3, 448, 448)
    expected = network.looked(images)["scale2"]
    features = network.classifiers[0](images)[1]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = 448 * network.proposals[0](features)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-2)


def test_logits_are_those_of_the_mean_probability_of_the_scales():
    network, images = network_and_images(scales=3)
    network.eval()
    scales = network.at_scales(images)
    crops = images
    for classifier, proposal, logits in zip(
        network.classifiers, [*network.proposals, None], scales, strict=True
    ):
        out, features = classifier(crops)
        torch.testing.assert_close(logits, out)
        crops = closer(crops, proposal(features)) if proposal else None
    expected = torch.stack([logits.softmax(dim=1) for logits in scales]).mean(dim=0)
    torch.testing.assert_close(network(images).exp(), expected)


def test_boxes_that_are_shown_are_in_pixels_of_the_image():
    network, images = network_and_images(scales=3)
    network.eval()
    found = network.looked(images)
    first = network.proposals[0](network.classifiers[0](images)[1])
    second = network.proposals[1](network.classifiers[1](closer(images, first))[1])
    for name, at in (("scale2", lambda i, t: first[i, t]), ("scale3", None)):
        for image in range(2):
            x0, y0, x1, y1 = first[image].tolist()
            if at is None:
                a, b, c, d = second[image].tolist()
                x0, x1 = x0 + a * (x1 - x0), x0 + c * (x1 - x0)
                y0, y1 = y0 + b * (y1 - y0), y0 + d * (y1 - y0)
            expected = torch.tensor([44 * x0, 32 * y0, 44 * x1, 32 * y1], dtype=torch.float64)
            torch.testing.assert_close(found[name][image], expected)


def rank_by_hand(network, images):
    """Max(0, p_s - p_{s+1} + 0.05) of the true class, from the classifiers in evaluation."""
    network.eval()
    p, crops = [], images
    for scale, classifier in enumerate(network.classifiers):
        logits, features = classifier(crops)
        p.append(logits.softmax(dim=1)[torch.arange(2), LABELS])
        if scale < len(network.proposals):
            crops = closer(crops, network.proposals[scale](features))
    return [
        torch.stack([max(a - b + 0.05, 0 * a) for a, b in zip(first, second, strict=True)]).mean()
        for first, second in pairwise(p)
    ]


def proposing(network, phase="proposals"):
    network.training_steps = 120
    network.training_step = {"classifiers": 0, "start": 60, "proposals": 80}[phase]
    assert network.phase() == phase
    return network.train()


def test_the_rank_loss_is_its_formula():
    network, images = network_and_images(scales=3)
    with torch.no_grad():
        for classifier in network.classifiers:
            classifier.head.weight.mul_(8)
    losses = proposing(network).loss(images, LABELS)
    assert list(losses) == ["loss_rank"]
    torch.testing.assert_close(losses["loss_rank"], sum(rank_by_hand(network, images)))


def test_its_gradient_is_that_of_finite_differences():
    """Along one direction, by steps so small that hardly any crosses a kink of ReLU."""
    network, images = network_and_images(smallest=0.5)
    proposing(network).margin = 2.0  # far from the kink of the loss
    parameters = list(network.proposals.parameters())

    def loss():
        return network.loss(images, LABELS)["loss_rank"]

    gradients = torch.autograd.grad(loss(), parameters)
    for seed in range(3):
        draw = torch.Generator().manual_seed(seed)
        along = [torch.randn(p.shape, generator=draw, dtype=p.dtype) for p in parameters]
        step, values = 1e-9, []
        for sign in (1, -1):
            with torch.no_grad():
                for parameter, direction in zip(parameters, along, strict=True):
                    parameter.add_(direction, alpha=sign * step)
                values.append(loss())
                for parameter, direction in zip(parameters, along, strict=True):
                    parameter.sub_(direction, alpha=sign * step)
        slope = sum((g * d).sum() for g, d in zip(gradients, along, strict=True))
        assert slope.abs() > 1e-2
        torch.testing.assert_close((values[0] - values[1]) / (2 * step), slope, rtol=1e-3, atol=0)


def test_a_proposal_raises_what_follows_and_does_not_lower_its_own_scale():
    """The gradient of the first proposal is that of the first term, with p of scale 1 fixed."""
    network, images = network_and_images(scales=3)
    network.margin = 2.0
    proposing(network).loss(images, LABELS)["loss_rank"].backward()
    found = [parameter.grad for parameter in network.proposals[0].parameters()]
    network.eval()
    with torch.no_grad():
        logits, features = network.classifiers[0](images)
    after, _ = network.classifiers[1](closer(images, network.proposals[0](features)))
    first, second = (each.softmax(dim=1)[torch.arange(2), LABELS] for each in (logits, after))
    expected = torch.autograd.grad(
        (first - second + 2.0).mean(), list(network.proposals[0].parameters())
    )
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize(
    ("phase", "learns", "names"),
    [
        ("classifiers", "classifiers", ["loss_scale_1", "loss_scale_2", "loss_scale_3"]),
        ("start", "proposals", ["loss_start"]),
        ("proposals", "proposals", ["loss_rank"]),
    ],
)
def test_what_is_fixed_has_no_gradient_and_keeps_its_statistics(phase, learns, names):
    network, images = network_and_images(scales=3)
    network.margin = 2.0
    before = {name: value.clone() for name, value in network.named_buffers()}
    losses = proposing(network, phase).loss(images, LABELS)
    assert list(losses) == names
    sum(losses.values()).backward()
    for name, parameter in network.named_parameters():
        if name.startswith(learns):
            assert parameter.grad.abs().sum() > 0, name
        else:
            assert parameter.grad is None, name
    for name, value in network.named_buffers():
        if "running" in name:
            assert torch.equal(value, before[name]) == (phase != "classifiers")
    assert all(module.training for module in network.modules())


def test_the_phase_follows_the_step():
    network, _ = network_and_images(alone=0.25, turns=3)
    network.training_steps = 48
    phases = []
    for step in range(48):
        network.training_step = step
        phases.append(network.phase())
    rank = [*["proposals"] * 4, *["classifiers"] * 8]
    assert phases == [*["classifiers"] * 12, *["start"] * 4, *["classifiers"] * 8, *rank, *rank]


def test_proposals_do_not_saturate_however_large_the_features_are():
    torch.manual_seed(0)
    proposal, features = Proposal(64, 16, 0.3), 100 * torch.rand(8, 64, 7, 7)
    optimizer = torch.optim.Adam(proposal.parameters(), lr=3e-3)
    for _ in range(10):
        optimizer.zero_grad()
        proposal(features).square().sum().backward()
        optimizer.step()
    assert proposal(features).std(dim=0).min() > 1e-3


def test_while_the_number_of_steps_is_unknown_both_learn_each_from_its_own_loss():
    network, images = network_and_images()
    network.margin, network.training_steps = 2.0, None
    both = network.train().loss(images, LABELS)
    assert list(both) == ["loss_scale_1", "loss_scale_2", "loss_rank"]
    both["loss_rank"].backward()
    assert all(p.grad is None for p in network.classifiers.parameters())
    assert all(p.grad is not None for p in network.proposals.parameters())


def test_proposals_start_around_the_highest_response():
    features = torch.zeros(3, 2, 5, 8)
    features[0, :, 2, 3] = 1
    features[1, 1, 0, 7] = 3
    features[1, :, 4, 0] = 1
    features[2, 0, 4, 4] = 1
    expected = torch.tensor(
        [
            [3.5 / 8 - 0.25, 0.25, 3.5 / 8 + 0.25, 0.75],
            [0.5, 0, 1, 0.5],
            [4.5 / 8 - 0.25, 0.5, 4.5 / 8 + 0.25, 1],
        ]
    )
    torch.testing.assert_close(around_peak(features), expected)


@pytest.mark.parametrize("scales", [2, 3])
def test_it_multiplies_what_its_closed_form_says(scales):
    network, images = made("recurrent attention", scales=scales), torch.randn(2, 3, 38, 45)
    counted = count(network, lambda: network(images), [3, 38, 45], inputs=2)
    assert counted.model["macs"] == network.cost(38, 45)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"scales": 1}, "scales and turns must be 2 or more, got 1 and 3"),
        ({"alone": 1}, "alone must be at least 0 and less than 1, got 1"),
        ({"turns": 1}, "scales and turns must be 2 or more, got 2 and 1"),
        ({"smallest": 0}, "smallest must be between 0 and 1, got 0"),
    ],
)
def test_what_makes_no_network_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        made("recurrent attention", **options)


def test_classes_are_those_that_were_asked_for():
    network, images = network_and_images()
    assert network.eval()(images).shape == (2, CLASSES)
