"""What holds for each of the networks."""

import io

import pytest
import torch

from plugins.attention.core.cost import count

from .small import CLASSES, NETWORKS, made

EACH = pytest.mark.parametrize("name", NETWORKS)
SIZES = pytest.mark.parametrize("size", [(32, 44), (41, 35)], ids=str)


def minimised(network, images, labels):
    return sum(
        value for name, value in network.loss(images, labels).items() if name.startswith("loss")
    )


@SIZES
@EACH
def test_an_image_of_any_proportions_is_classified_as_if_it_were_alone(name, size):
    network, images = made(name).double().eval(), torch.randn(3, 3, *size, dtype=torch.float64)
    logits = network(images)
    assert logits.shape == (3, CLASSES)
    torch.testing.assert_close(network(images[1:2]), logits[1:2])


@EACH
def test_it_learns_from_one_image(name):
    network, image = made(name).train(), torch.randn(1, 3, 48, 40)
    minimised(network, image, torch.tensor([2])).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert all(gradient.abs().sum() > 0 for gradient in gradients[-2:])


@pytest.mark.parametrize("name", ["residual attention", "dynamic capacity"])
def test_its_gradients_are_those_of_finite_differences(name):
    """Logits of the third network have none with respect to crops; its losses are tested apart."""
    network = made(name).double().eval()
    images = torch.randn(2, 3, 24, 28, dtype=torch.float64)
    names = [each for each, _ in network.named_parameters()]

    def logits(*parameters):
        given = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(network, given, (images,))

    # Steps so small that hardly any crosses a kink of ReLU.
    assert torch.autograd.gradcheck(
        logits, tuple(network.parameters()), fast_mode=True, eps=1e-7, atol=1e-5
    )


@EACH
def test_in_bfloat16_it_is_nearly_the_same(name):
    network, images = made(name).eval(), torch.randn(2, 3, 40, 48)
    expected = network(images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = network(images)
        losses = minimised(network.train(), images, torch.tensor([0, 4]))
    assert (logits.float() - expected).abs().max() <= 0.05 * expected.abs().max()
    losses.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@EACH
def test_it_is_the_same_whether_torch_records_or_not(name):
    network, images = made(name).eval(), torch.randn(2, 3, 32, 44)
    expected = network(images)
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected)
    with torch.inference_mode():
        torch.testing.assert_close(network(images.clone()), expected)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert network(images).isfinite().all()


@EACH
def test_the_layout_in_memory_changes_nothing(name):
    network, images = made(name).double().eval(), torch.randn(2, 3, 32, 44, dtype=torch.float64)
    expected = network(images)
    network.to(memory_format=torch.channels_last)
    logits = network(images.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(logits, expected)


@EACH
def test_it_is_counted_without_numbers(name):
    """On the meta device, as a plan counts it."""
    network, images = made(name).eval(), torch.randn(1, 3, 32, 44)
    real = count(network, lambda: network(images), [3, 32, 44])
    network, images = network.to("meta"), images.to("meta")
    assert count(network, lambda: network(images), [3, 32, 44]).model == real.model


def trained(network, steps, saved=None):
    """The network after some of twelve steps on images that a step decides."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    if saved is not None:
        state = torch.load(io.BytesIO(saved))
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
    network.train()
    for step in steps:
        draw = torch.Generator().manual_seed(step)
        images = torch.randn(4, 3, 32, 36, generator=draw)
        labels = torch.randint(CLASSES, (4,), generator=draw)
        network.training_step, network.training_steps = step, 12
        optimizer.zero_grad()
        minimised(network, images, labels).backward()
        optimizer.step()
    file = io.BytesIO()
    torch.save({"network": network.state_dict(), "optimizer": optimizer.state_dict()}, file)
    return network.state_dict(), file.getvalue()


@EACH
def test_a_resumed_training_is_the_undisturbed_one(name):
    whole, _ = trained(made(name), range(12))
    _, saved = trained(made(name), range(5))
    resumed, _ = trained(NETWORKS[name](), range(5, 12), saved=saved)
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


@EACH
def test_what_there_is_to_look_at_are_masks_and_boxes(name):
    network, images = made(name).eval(), torch.randn(2, 3, 32, 44)
    found = network.looked(images)
    assert found
    for what in found.values():
        assert what.isfinite().all()
        if what.dim() == 2:
            assert what.shape == (2, 4)
            assert (what[:, :2] >= 0).all()
            assert (what[:, :2] < what[:, 2:]).all()
            assert (what[:, 2:] <= torch.tensor([44.001, 32.001])).all()
        else:
            assert what.dim() == 3
            assert what.min() >= 0
