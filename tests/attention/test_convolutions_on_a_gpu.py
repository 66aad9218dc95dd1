"""What a GPU calculates of dynamic and deformable convolution, calculated on a CPU.

The tables of forms are set to those of a GPU. mmcv's operator is its own, which also runs on a CPU.
fairseq's kernel cannot be built here: `Kernel` is a fake of it, a loop by its source.
"""

import types

import pytest
import torch
from mmcv.ops import DeformConv2d

from plugins.attention import DeformableConv1d, DeformableConv2d, DynamicConv1d, DynamicConv2d
from plugins.attention.core.cost import count
from plugins.attention.kernels import fairseq_dynamic_conv, mmcv_deform_conv, taps

from .dispatched import Dispatched

LAYOUTS = ("contiguous", "channels_last", "strided")
HALF = (torch.bfloat16, torch.float16)


def laid_out(x, layout):
    """The same numbers, otherwise in memory."""
    if layout == "channels_last":
        return x.contiguous(memory_format=torch.channels_last)
    if layout == "strided":
        wider = x.new_zeros(*x.shape[:-2], x.shape[-1] + 1, x.shape[-2] + 2)
        wider[..., 1:, 2:] = x.transpose(-1, -2)
        return wider[..., 1:, 2:].transpose(-1, -2)
    return x


def gradients(module, x):
    """The result and the gradients of the input and of the parameters."""
    x = x.detach().requires_grad_()
    out = module(x)
    return out, *torch.autograd.grad(out.sin().sum(), (x, *module.parameters()))


def assert_equal(ones, others, **tolerance):
    for one, other in zip(ones, others, strict=True):
        torch.testing.assert_close(one, other, check_dtype=False, **tolerance)


def deformable(*arguments, **options):
    torch.manual_seed(0)
    m = DeformableConv2d(*arguments, **options)
    torch.nn.init.normal_(m.conv_offset.weight, std=0.1)
    torch.nn.init.normal_(m.conv_offset.bias, std=0.5)
    return m


class Mmcvs(torch.nn.Module):
    """mmcv's module, one image at a time and contiguous, which it can calculate."""

    def __init__(self, ours):
        super().__init__()
        self.weight, self.conv_offset = ours.weight, ours.conv_offset
        arguments = (ours.kernel_size, ours.stride, ours.padding, ours.dilation, 1)
        self.conv = DeformConv2d(
            ours.in_channels, ours.out_channels, *arguments, ours.deform_groups
        )
        del self.conv.weight
        self.conv.weight = self.weight

    def parameters(self, recurse=True):
        return iter((self.weight, *self.conv_offset.parameters()))

    def forward(self, x):
        x = x.contiguous()
        offset = self.conv_offset(x).contiguous()
        weight = self.weight.contiguous()
        self.conv.weight = torch.nn.Parameter(weight) if weight is not self.weight else self.weight
        parts = zip(x.split(1), offset.split(1), strict=True)
        return torch.cat([self.conv(image, moved) for image, moved in parts])


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(2, 4, 6, 9), (33, 4, 5, 4), (65, 4, 3, 3), (2, 4, 1, 2)])
@pytest.mark.parametrize("form", ["torch", "mmcv"])
def test_deformable_2d_takes_any_batch_layout_and_small_maps(form, shape, layout):
    m = deformable(4, 6, deform_groups=2).double()
    m.form = form
    x = laid_out(torch.randn(shape, dtype=torch.float64), layout)
    assert_equal(gradients(m, x), gradients(Mmcvs(m), x), rtol=1e-9, atol=1e-9)
    plain = torch.nn.functional.conv2d(x, m.weight, padding=1)
    assert m(x).stride() == plain.contiguous().stride() or layout != "contiguous"
    if layout == "channels_last" and shape != (2, 4, 1, 2):
        assert m(x).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("form", ["torch", "mmcv"])
def test_a_weight_in_channels_last_is_taken_too(form):
    m = deformable(4, 6).double()
    x = torch.randn(2, 4, 6, 9, dtype=torch.float64)
    expected = gradients(Mmcvs(m), x)
    m.to(memory_format=torch.channels_last)
    m.form = form
    assert_equal(gradients(m, x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", ["torch", "mmcv"])
def test_deformable_2d_of_no_images_is_of_no_images(form):
    m = deformable(4, 6, stride=2)
    m.form = form
    out, *grads = gradients(m, torch.zeros(0, 4, 7, 5))
    assert out.shape == (0, 6, 4, 3)
    assert all((grad == 0).all() for grad in grads)


def test_images_are_split_before_mmcv_counts_beyond_its_integers(monkeypatch):
    m = deformable(4, 6).double()
    m.form = "mmcv"
    x = torch.randn(5, 4, 6, 9, dtype=torch.float64)
    whole = gradients(m, x)
    monkeypatch.setattr(mmcv_deform_conv, "ELEMENTS", 2 * 4 * 9 * 6 * 9)
    calls = []
    extension = mmcv_deform_conv._extension()

    def forward(*tensors, **options):
        calls.append(options["im2col_step"])
        extension.deform_conv_forward(*tensors, **options)

    fake = types.SimpleNamespace(**{name: getattr(extension, name) for name in dir(extension)})
    fake.deform_conv_forward = forward
    monkeypatch.setattr(mmcv_deform_conv, "_extension", lambda: fake)
    assert_equal(gradients(m, x), whole, rtol=1e-10, atol=1e-10)
    assert calls == [2, 2, 1]
    monkeypatch.setattr(mmcv_deform_conv, "ELEMENTS", 4 * 9 * 6 * 9 - 1)
    assert_equal(gradients(m, x), whole, rtol=1e-10, atol=1e-10)  # by the form in torch
    assert calls == [2, 2, 1]


def test_a_gpu_without_mmcv_compiled_for_it_has_the_form_in_torch():
    assert mmcv_deform_conv._extension().get_compiling_cuda_version() == "not available"
    assert mmcv_deform_conv.is_compiled_for("cpu")
    assert deformable_form("cuda") == deformable_form("cpu") == "torch"


def deformable_form(device):
    from plugins.attention.maps import deformable as module

    return module._form_on(device)


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("form", ["torch", "mmcv"])
def test_deformable_2d_keeps_positions_exact_in_half_precision(form, autocast, kind):
    """Far from the map's origin, where a position in half precision is off by whole pixels."""
    m = DeformableConv2d(1, 1, kernel_size=1, padding=0)
    torch.nn.init.ones_(m.weight)
    torch.nn.init.constant_(m.conv_offset.bias, 0.25)
    m.form = form
    ramp = torch.arange(600.0).remainder(2).expand(1, 1, 2, 600)  # 0 and 1 in turn
    expected = m(ramp)[..., :1, :-1]
    with torch.autocast("cpu", kind, enabled=autocast):
        out = m(ramp) if autocast else m.to(kind)(ramp.to(kind))
    assert out.dtype == kind
    torch.testing.assert_close(out[..., :1, :-1], expected.to(kind), rtol=1e-2, atol=0)


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("form", ["torch", "mmcv"])
def test_deformable_2d_is_near_in_half_precision_for_the_same_offsets(form, autocast, kind):
    """Offsets that no rounding moves onto a pixel or past it, where the gradient jumps."""
    m = deformable(16, 16)
    x, whole = torch.randn(3, 16, 7, 9).to(kind), torch.randint(-2, 2, (3, 18, 7, 9))
    offset = (whole + torch.rand(whole.shape) * 0.8 + 0.1).to(kind)
    m.weight.data, seed = m.weight.to(kind).float(), torch.randn(3, 16, 7, 9).to(kind)
    results = []
    for where, run, enabled in [
        (torch.float64, "torch", False),
        (torch.float32 if autocast else kind, form, autocast),
    ]:
        m.form = run
        m.to(where)
        leaves = [x.to(where), offset.to(kind if enabled else where)]
        leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with torch.autocast("cpu", kind, enabled=enabled):
            out = m.sample(*leaves)
        grads = torch.autograd.grad(out, (*leaves, m.weight), seed.to(out.dtype))
        results.append((out, *grads))
    for one, other in zip(*reversed(results), strict=True):
        error = (one.double() - other).detach().norm() / other.detach().norm()
        assert error < (0.02 if kind == torch.bfloat16 else 0.005), error


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("causal", [False, True])
def test_deformable_1d_keeps_positions_exact_in_half_precision(kind, causal):
    m = DeformableConv1d(2, kernel_size=1, causal=causal)
    torch.nn.init.constant_(m.offset_linear.bias, -0.25)
    torch.nn.init.eye_(m.weight[..., 0])
    x = torch.arange(600.0).remainder(2)[None, :, None].expand(1, 600, 2)
    expected = m(x)
    out = m.to(kind)(x.to(kind))
    assert out.dtype == kind
    torch.testing.assert_close(out, expected.to(kind), rtol=1e-2, atol=0)


class Kernel:
    """fairseq's dynamicconv_cuda as its source has it, in loops over batch, head and tap.

    dynamicconv_cuda.cpp takes contiguous tensors alone: (B, C, T), weights (B, H, K, T);
    dynamicconv_cuda_forward.cu (written by cuda_function_gen.py) leaves zeros for taps and paddings
    that it is not compiled for, and its types are float, double and half.
    """

    sizes = (3, 5, 7, 15, 31, 63, 127, 255)

    def __init__(self):
        self.calls = []

    def check(self, padding, *tensors):
        kinds = (torch.float32, torch.float64, torch.float16)
        assert all(tensor.is_contiguous() and tensor.dtype in kinds for tensor in tensors)
        assert len({tensor.dtype for tensor in tensors}) == 1
        size = tensors[-1].shape[2]
        return size in self.sizes and padding in (size // 2, size - 1)

    def terms(self, weights, padding, length):
        for head in range(weights.shape[1]):
            for tap in range(weights.shape[2]):
                shift = tap - padding  # the tap of position t is at t + shift
                first, last = max(0, -shift), min(length, length - shift)
                if first < last:
                    yield head, tap, slice(first, last), slice(first + shift, last + shift)

    def forward(self, x, weights, padding):
        self.calls.append("forward")
        out = torch.zeros_like(x)
        if self.check(padding, x, weights):
            by_head = out.unflatten(1, (weights.shape[1], -1))
            taken = x.unflatten(1, (weights.shape[1], -1))
            for head, tap, to, of in self.terms(weights, padding, x.shape[-1]):
                by_head[:, head, :, to] += weights[:, head, None, tap, to] * taken[:, head, :, of]
        return [out]

    def backward(self, grad, padding, x, weights):
        self.calls.append("backward")
        by_x, by_weights = torch.zeros_like(x), torch.zeros_like(weights)
        if self.check(padding, grad, x, weights):
            heads = (weights.shape[1], -1)
            grad, x, to_x = (t.unflatten(1, heads) for t in (grad, x, by_x))
            for head, tap, to, of in self.terms(weights, padding, x.shape[-1]):
                to_x[:, head, :, of] += weights[:, head, None, tap, to] * grad[:, head, :, to]
                by_weights[:, head, tap, to] = (x[:, head, :, of] * grad[:, head, :, to]).sum(1)
        return [by_x, by_weights]


@pytest.fixture
def on_a_gpu(monkeypatch):
    """The forms of a GPU, without fairseq's kernel."""
    monkeypatch.setattr(taps, "FORMS", {"cpu": taps.FORMS["cuda"]})


@pytest.fixture
def kernel(on_a_gpu, monkeypatch):
    """The forms of a GPU, with a fake of fairseq's kernel."""
    fake = Kernel()
    monkeypatch.setattr(fairseq_dynamic_conv, "_extension", lambda: fake)
    return fake


def applied(function, weight, x, *arguments):
    weight, x = weight.detach().requires_grad_(), x.detach().requires_grad_()
    out = function(weight, x, *arguments)
    return out, *torch.autograd.grad(out.sin().sum(), (weight, x))


def kernels_and_sequence(size, length, start=0, batch=2):
    torch.manual_seed(0)
    weight = torch.randn(batch, length - start, 2, size, dtype=torch.float64)
    return weight, torch.randn(batch, length, 6, dtype=torch.float64)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [1, 3, 5, 7, 15, 31, 33])
@pytest.mark.parametrize("length", [1, 4, 64, 128, 129, 200])
def test_kernels_of_a_sequence_are_applied_as_by_unfolding(on_a_gpu, length, size, causal):
    before = size - 1 if causal else size // 2
    for start in {0, length // 3, length - 1}:
        weight, x = kernels_and_sequence(size, length, start)
        forms = (taps.convolve, taps.unfolded)
        ours, plain = (applied(form, weight, x, before, start) for form in forms)
        assert_equal(ours, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [1, 3, 5, 7, 9])
@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (4, 70), (5, 140)])
def test_kernels_of_a_map_are_applied_as_by_unfolding(on_a_gpu, shape, size, layout):
    torch.manual_seed(0)
    weight = torch.randn(2, 2, size, size, *shape, dtype=torch.float64)
    x = laid_out(torch.randn(2, 6, *shape, dtype=torch.float64), layout)
    ours, plain = (applied(form, weight, x) for form in (taps.convolve2d, taps.unfolded2d))
    assert_equal(ours, plain, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("size", [3, 5, 7, 15, 31])
@pytest.mark.parametrize("length", [1, 4, 40])
def test_fairseqs_kernel_is_used_where_it_is_built(kernel, length, size, causal):
    before = size - 1 if causal else size // 2
    weight, x = kernels_and_sequence(size, length)
    x = x.transpose(0, 1).contiguous().transpose(0, 1)  # as fairseq's models have it
    ours, plain = (applied(form, weight, x, before) for form in (taps.convolve, taps.unfolded))
    assert_equal(ours, plain, rtol=1e-10, atol=1e-10)
    assert kernel.calls == ["forward", "backward"]


@pytest.mark.parametrize(
    ("size", "before", "length", "start", "batch"),
    [
        (1, 0, 9, 0, 2),  # not compiled for
        (4, 3, 9, 0, 2),
        (9, 4, 9, 0, 2),
        (63, 31, 9, 0, 2),  # moves its buffer too early
        (5, 1, 9, 0, 2),
        (3, 1, 9, 4, 2),  # a step of decoding
        (3, 1, 9, 0, 0),
    ],
)
def test_what_fairseqs_kernel_cannot_calculate_is_left_to_others(
    kernel, size, before, length, start, batch
):
    weight, x = kernels_and_sequence(size, length, start, batch)
    arguments = (before, start)
    ours, plain = (applied(form, weight, x, *arguments) for form in (taps.convolve, taps.unfolded))
    assert_equal(ours, plain, rtol=1e-10, atol=1e-10)
    assert kernel.calls == []


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("fixture", ["on_a_gpu", "kernel"])
@pytest.mark.parametrize("size", [3, 31])
def test_dynamic_1d_is_near_in_half_precision(size, fixture, kind, request):
    request.getfixturevalue(fixture)
    torch.manual_seed(0)
    m, x = DynamicConv1d(16, 2, size), torch.randn(2, 40, 16)
    padding = torch.zeros(2, 40, dtype=torch.bool)
    padding[1, 25:] = True
    exact = gradients(Given(m, padding), x)
    with torch.autocast("cpu", kind):
        near = gradients(Given(m, padding), x)
    m.to(kind)
    pure = gradients(Given(m, padding), x.to(kind))
    assert pure[0].dtype == kind
    for ones in (near, pure):
        for one, other in zip(ones, exact, strict=True):
            error = (one.float() - other).norm() / other.norm()
            assert error < (0.04 if kind == torch.bfloat16 else 0.01), error


class Given(torch.nn.Module):
    """A module with some of its arguments."""

    def __init__(self, module, *arguments):
        super().__init__()
        self.module, self.arguments = module, arguments

    def forward(self, x):
        return self.module(x, *self.arguments)


@pytest.mark.parametrize("kind", HALF)
@pytest.mark.parametrize("size", [3, 7])
def test_dynamic_2d_is_near_in_half_precision(on_a_gpu, size, kind):
    torch.manual_seed(0)
    m = DynamicConv2d(16, 2, size)
    torch.nn.init.ones_(m.gamma)
    x = torch.randn(2, 16, 6, 9).contiguous(memory_format=torch.channels_last)
    exact = gradients(m, x)
    with torch.autocast("cpu", kind):
        near = gradients(m, x)
    for one, other in zip(near, exact, strict=True):
        error = (one.float() - other).norm() / other.norm()
        assert error < (0.05 if kind == torch.bfloat16 else 0.01), error


CAN_BE_COMPILED = [
    ("on_a_gpu", lambda: DynamicConv1d(8, 2, 3), [(2, 7, 8), (3, 20, 8), (2, 150, 8)]),
    ("on_a_gpu", lambda: DynamicConv1d(8, 2, 31), [(2, 7, 8), (3, 20, 8), (2, 150, 8)]),
    ("kernel", lambda: DynamicConv1d(8, 2, 3), [(2, 7, 8), (3, 20, 8)]),
    ("on_a_gpu", lambda: DynamicConv2d(8, 2, 3), [(2, 8, 7, 9), (3, 8, 6, 20)]),
    ("on_a_gpu", lambda: DynamicConv2d(8, 2, 7), [(2, 8, 7, 9), (3, 8, 6, 20)]),
    ("on_a_gpu", lambda: DeformableConv1d(8, causal=True), [(2, 7, 8), (3, 20, 8)]),
    ("torch", lambda: DeformableConv2d(8, 6, deform_groups=2), [(2, 8, 7, 9), (3, 8, 6, 20)]),
    ("mmcv", lambda: DeformableConv2d(8, 6, deform_groups=2), [(2, 8, 7, 9), (3, 8, 6, 20)]),
]


@pytest.mark.parametrize(("form", "make", "shapes"), CAN_BE_COMPILED)
def test_all_of_it_is_one_graph_for_any_size(form, make, shapes, request):
    torch.manual_seed(0)
    m = make().double()
    for parameter in m.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    if isinstance(m, DeformableConv2d):
        m.form = form
    else:
        request.getfixturevalue(form)
    torch._dynamo.reset()
    compiled = torch.compile(m, fullgraph=True, dynamic=True, backend="aot_eager")
    for shape in shapes:
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
        results = []
        for run in (m, compiled):
            out = run(x)
            leaves = (x, *m.parameters())
            results.append((out, *torch.autograd.grad(out.sin().sum(), leaves)))
        assert_equal(*results, rtol=1e-9, atol=1e-9)


FREE = (torch.ops.aten.detach, torch.ops.aten._unsafe_view)
"""They calculate and copy nothing."""


def launches(forward, *leaves):
    """How many operators forward and backward take."""
    forward()  # makes what is kept
    with Dispatched(FREE) as there:
        out = forward()
    seed = torch.ones_like(out)
    with Dispatched(FREE) as back:
        torch.autograd.grad(out, leaves, seed)
    return len(there.found), len(back.found)


@pytest.mark.parametrize(
    ("size", "length", "most"),
    [(3, 32, (3, 5)), (7, 512, (3, 5)), (31, 32, (4, 7)), (31, 512, (7, 10))],
)
def test_a_sequence_takes_few_launches(on_a_gpu, size, length, most):
    weight = torch.randn(2, length, 2, size, requires_grad=True)
    x = torch.randn(2, length, 8, requires_grad=True)
    assert launches(lambda: taps.convolve(weight, x, size // 2), weight, x) == most


@pytest.mark.parametrize(("size", "most"), [(3, (3, 6)), (5, (3, 6)), (7, (9, 11))])
def test_a_map_takes_few_launches(on_a_gpu, size, most):
    weight = torch.randn(2, 2, size, size, 8, 9, requires_grad=True)
    x = torch.randn(2, 8, 8, 9, requires_grad=True)
    assert launches(lambda: taps.convolve2d(weight, x), weight, x) == most


def test_deformable_convolution_takes_few_launches():
    m, x = deformable(8, 8), torch.randn(2, 8, 8, 9, requires_grad=True)
    leaves = (x, *m.parameters())
    assert launches(lambda: m(x), *leaves) == (5, 10)
    m.form = "mmcv"  # whose operator launches more than itself
    assert launches(lambda: m(x), *leaves) == (2, 3)
    m, x = DeformableConv1d(8), torch.randn(2, 9, 8, requires_grad=True)
    assert launches(lambda: m(x), x, *m.parameters()) == (14, 21)


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"deform_groups": 2, "kernel_size": 1}])
def test_both_forms_of_deformable_convolution_count_the_same_macs(options):
    m, x = deformable(8, 6, **options), torch.randn(3, 8, 7, 9)
    costs = []
    for m.form in ("torch", "mmcv"):
        costs.append(count(m, lambda: m(x), [8, 7, 9], inputs=3).model)
    assert costs[0] == costs[1]


def test_what_is_kept_in_inference_serves_training_too():
    m, x = deformable(4, 4), torch.randn(1, 4, 11, 13)
    sequence, y = DeformableConv1d(4), torch.randn(2, 17, 4)
    with torch.inference_mode():
        expected = m(x), sequence(y)
    assert_equal([gradients(m, x)[0], gradients(sequence, y)[0]], expected)
