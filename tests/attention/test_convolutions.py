"""Dynamic and deformable convolution against their formulas, and against mmcv's compiled op."""

import subprocess
import sys

import pytest
import torch
from mmcv.ops import DeformConv2dPack

from plugins.attention import (
    DeformableConv1d,
    DeformableConv2d,
    DynamicConv1d,
    DynamicConv2d,
)
from plugins.attention.kernels import taps
from plugins.attention.maps import deformable


def linear_kernel(a, b):
    """g of the paper: max(0, 1 - |a - b|)."""
    return torch.clamp(1 - (a - b).abs(), min=0)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("padded", [False, True])
def test_dynamic_1d_is_a_softmax_over_taps(causal, padded):
    torch.manual_seed(0)
    m = DynamicConv1d(6, heads=2, kernel_size=3, causal=causal).double()
    x = torch.randn(2, 5, 6, dtype=torch.float64)
    padding = torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = padded
    expected = torch.zeros_like(x)
    for n in range(2):
        for q in range(5):
            for head in range(2):
                logits = (m.weight_linear.weight @ x[n, q])[head * 3 : head * 3 + 3]
                for tap, weight in enumerate(logits.softmax(0)):
                    k = q + tap - (2 if causal else 1)
                    if 0 <= k < 5 and not padding[n, k]:
                        part = slice(head * 3, head * 3 + 3)
                        expected[n, q, part] += weight * x[n, k, part]
    out = m(x, key_padding_mask=padding)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(m(x, padding, query_start=3), out[:, 3:], rtol=1e-12, atol=1e-12)


def test_dynamic_2d_is_a_softmax_over_taps():
    torch.manual_seed(0)
    m = DynamicConv2d(4, heads=2, kernel_size=3).double()
    torch.nn.init.constant_(m.gamma, 0.5)
    x = torch.randn(2, 4, 3, 5, dtype=torch.float64)
    value, logits = m.value_conv(x), m.weight_conv(x)
    mixed = torch.zeros_like(x)
    for n, r, c, head in torch.cartesian_prod(*map(torch.arange, (2, 3, 5, 2))).tolist():
        weights = logits[n, head * 9 : head * 9 + 9, r, c].softmax(0)
        for tap, weight in enumerate(weights):
            kr, kc = r + tap // 3 - 1, c + tap % 3 - 1
            if 0 <= kr < 3 and 0 <= kc < 5:
                mixed[n, head * 2 : head * 2 + 2, r, c] += (
                    weight * value[n, head * 2 : head * 2 + 2, kr, kc]
                )
    expected = x + m.gamma * m.proj_conv(mixed)
    torch.testing.assert_close(m(x), expected, rtol=1e-12, atol=1e-12)


def assert_same(cheap, plain, weight, x):
    """The same result and gradients."""
    leaves = [weight.requires_grad_(), x.requires_grad_()]
    for one, other in zip(
        *((out, *torch.autograd.grad(out.sin().sum(), leaves)) for out in (cheap, plain)),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [1, 3, 5, 7, 15, 31])
@pytest.mark.parametrize("length", [1, 4, 64, 65, 96, 130])
def test_kernels_of_a_sequence_are_applied_as_by_unfolding(length, size, causal):
    torch.manual_seed(0)
    before = size - 1 if causal else size // 2
    for start in {0, length // 3, length - 1}:
        weight = torch.randn(2, length - start, 2, size, dtype=torch.float64, requires_grad=True)
        x = torch.randn(2, length, 6, dtype=torch.float64, requires_grad=True)
        cheap, plain = (f(weight, x, before, start) for f in (taps.convolve, taps.unfolded))
        assert_same(cheap, plain, weight, x)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 15])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (7, 4), (4, 70)])
def test_kernels_of_a_map_are_applied_as_by_unfolding(shape, size):
    torch.manual_seed(0)
    weight = torch.randn(2, 2, size, size, *shape, dtype=torch.float64, requires_grad=True)
    x = torch.randn(2, 6, *shape, dtype=torch.float64, requires_grad=True)
    assert_same(taps.convolve2d(weight, x), taps.unfolded2d(weight, x), weight, x)


@pytest.mark.parametrize("size", [(6, 9), (5, 5), (3, 4)])
@pytest.mark.parametrize(
    "shape", [{}, {"stride": 2}, {"dilation": 2, "padding": 2}, {"deform_groups": 2}]
)
def test_deformable_2d_equals_mmcvs_op(shape, size):
    torch.manual_seed(0)
    m = DeformableConv2d(4, 6, **shape).double()
    torch.nn.init.normal_(m.conv_offset.weight, std=0.3)
    torch.nn.init.normal_(m.conv_offset.bias, std=0.5)
    arguments = {"kernel_size": 3, "padding": 1, **shape}
    theirs = DeformConv2dPack(4, 6, **arguments).double()
    theirs.load_state_dict(m.state_dict(), strict=True)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    y = x.detach().clone().requires_grad_()
    ours, reference = m(x), theirs(y)
    torch.testing.assert_close(ours, reference, rtol=1e-10, atol=1e-10)
    seed = torch.randn_like(ours)
    ours.backward(seed)
    reference.backward(seed)
    torch.testing.assert_close(x.grad, y.grad, rtol=1e-10, atol=1e-10)
    for mine, other in zip(m.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, other.grad, rtol=1e-10, atol=1e-10)


def test_deformable_2d_takes_mmcvs_op_where_it_is_told_to(monkeypatch):
    torch.manual_seed(0)
    m = DeformableConv2d(4, 6, stride=2, dilation=2, padding=2, deform_groups=2).double()
    torch.nn.init.normal_(m.conv_offset.weight, std=0.3)
    x = torch.randn(2, 4, 7, 9, dtype=torch.float64)
    expected = m(x)
    monkeypatch.setattr(deformable, "FORMS", {"cpu": "mmcv"})
    monkeypatch.setattr(DeformableConv2d, "sample_in_torch", None)
    torch.testing.assert_close(m(x), expected, rtol=1e-10, atol=1e-10)


def test_importing_the_mechanisms_imports_no_framework():
    script = "import sys; from plugins.attention import DeformableConv2d, DynamicConv2d;"
    script += "print([name for name in ('mmcv', 'fairseq') if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_deformable_2d_equals_the_bilinear_kernel():
    torch.manual_seed(0)
    m = DeformableConv2d(2, 3).double()
    torch.nn.init.normal_(m.conv_offset.weight, std=0.4)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    offset = m.conv_offset(x)[0]
    rows, columns = torch.arange(4.0).double(), torch.arange(5.0).double()
    expected = torch.zeros(1, 3, 4, 5, dtype=torch.float64)
    for r, c, tap in torch.cartesian_prod(*map(torch.arange, (4, 5, 9))).tolist():
        y = r - 1 + tap // 3 + offset[2 * tap, r, c]
        x_ = c - 1 + tap % 3 + offset[2 * tap + 1, r, c]
        kernel = linear_kernel(rows, y)[:, None] * linear_kernel(columns, x_)[None]
        sampled = (x[0] * kernel).sum((1, 2))
        expected[0, :, r, c] += m.weight[:, :, tap // 3, tap % 3] @ sampled
    torch.testing.assert_close(m(x), expected, rtol=1e-12, atol=1e-12)


def test_deformable_2d_starts_as_the_plain_convolution():
    m = DeformableConv2d(3, 4, stride=2).double()
    x = torch.randn(2, 3, 7, 6, dtype=torch.float64)
    plain = torch.nn.functional.conv2d(x, m.weight, stride=2, padding=1)
    torch.testing.assert_close(m(x), plain, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("causal", [False, True])
def test_deformable_1d_equals_the_linear_kernel(causal):
    torch.manual_seed(0)
    m = DeformableConv1d(4, kernel_size=3, causal=causal).double()
    torch.nn.init.normal_(m.offset_linear.weight, std=0.8)
    torch.nn.init.normal_(m.bias)
    x = torch.randn(2, 6, 4, dtype=torch.float64)
    padding = torch.zeros(2, 6, dtype=torch.bool)
    padding[1, 4:] = True
    expected = m.bias.detach().expand(2, 6, 4).clone()
    for n, q, tap in torch.cartesian_prod(*map(torch.arange, (2, 6, 3))).tolist():
        at = q + tap - (2 if causal else 1) + m.offset_linear(x[n, q])[tap]
        if causal:
            at = torch.clamp(at, max=q)
        kernel = linear_kernel(torch.arange(6.0).double(), at) * ~padding[n]
        expected[n, q] += m.weight[:, :, tap] @ (kernel @ x[n])
    out = m(x, key_padding_mask=padding)
    torch.testing.assert_close(out, expected, rtol=1e-12, atol=1e-12)
    later = m.convolve(x, padding, query_start=4)
    torch.testing.assert_close(later, out[:, 4:], rtol=1e-12, atol=1e-12)


def test_causal_convolutions_do_not_look_ahead():
    torch.manual_seed(0)
    deformable = DeformableConv1d(4, causal=True).double()
    torch.nn.init.normal_(deformable.offset_linear.weight)
    for m in (deformable, DynamicConv1d(4, 2, 3, causal=True).double()):
        x = torch.randn(1, 6, 4, dtype=torch.float64, requires_grad=True)
        m(x)[:, 3].sum().backward()
        assert (x.grad[:, 4:] == 0).all()
        assert (x.grad[:, 3] != 0).any()


def test_a_causal_tap_learns_of_nothing_that_is_hidden_from_it():
    """At its first step, too, where every offset is zero and each position is whole."""
    m = DeformableConv1d(4, kernel_size=3, causal=True).double()
    torch.nn.init.normal_(m.weight)
    x = torch.randn(1, 5, 4, dtype=torch.float64)

    def at(query, x, shift=0.0):
        with torch.no_grad():
            m.offset_linear.bias.fill_(shift)
        m.zero_grad()
        out = m(x)[0, query].sum()
        out.backward()
        return out.item(), m.offset_linear.bias.grad.clone()

    other = x.clone()
    other[:, 3:] += 1
    value, slope = at(2, x)
    torch.testing.assert_close(at(2, other)[1], slope)
    # The last tap cannot go on; the others are as by a difference to the left.
    eps = 1e-6
    left = (value - at(2, x, -eps)[0]) / eps
    assert slope.sum().item() == pytest.approx(left, rel=1e-4)


@pytest.mark.parametrize(
    ("m", "shape"),
    [
        (DynamicConv1d(4, 2, 3), (2, 3, 4)),
        (DynamicConv1d(4, 2, 7), (2, 5, 4)),
        (DynamicConv2d(4, 2, 3), (1, 4, 3, 2)),
        (DynamicConv2d(2, 1, 7), (1, 2, 3, 2)),
        (DeformableConv1d(4), (2, 4, 4)),
        (DeformableConv2d(2, 2), (1, 2, 3, 4)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_gradients_are_those_of_finite_differences(m, shape):
    torch.manual_seed(1)
    m = m.double()
    for parameter in m.parameters():  # off the grid, where linear interpolation has no kink
        torch.nn.init.normal_(parameter, std=0.3)
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)

    def run(x, *values):
        named = dict(zip(dict(m.named_parameters()), values, strict=True))
        return torch.func.functional_call(m, named, x)

    assert torch.autograd.gradcheck(run, (x, *m.parameters()))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DynamicConv1d(6, heads=4), "divide"),
        (lambda: DynamicConv2d(8, heads=2, kernel_size=4), "odd"),
        (lambda: DeformableConv1d(4, kernel_size=2), "odd"),
        (lambda: DeformableConv2d(4, 4, bias=True), "no bias"),
        (lambda: DeformableConv2d(4, 4, deform_groups=3), "divide"),
    ],
)
def test_a_bad_argument_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
