"""mmcv's compiled deformable convolution as an operator of torch.

mmcv calls its extension from an autograd function of its own, which torch.compile cannot enter, and
which fails on much that a plain convolution takes (mmcv/ops/deform_conv.py and
csrc/pytorch/deform_conv.cpp of 2.3.6):

- channels_last maps, and a weight or offsets in that layout: every tensor must be contiguous;
- bfloat16. In float16 it rounds positions to a part of a pixel, and adds up gradients in float16;
- batches of more than 32 images that 32 does not divide, and empty ones;
- columns of 2^31 elements and more, since it counts threads in 32 bits;
- maps smaller than the kernel, whatever their padding.

The operator here calculates in single precision at least, on contiguous tensors and on at most 32
images at a time. `fits` tells what it cannot calculate.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

__all__ = ["convolve", "fits", "is_compiled_for"]

IMAGES = 32
"""Most images that are calculated at a time: mmcv's own default."""

ELEMENTS = 2**31 - 1
"""Most elements of the columns, which mmcv's kernels count in 32 bits."""

Shape = tuple[int, int, int, int]
"""Stride, padding, dilation and deform_groups."""

_GIVEN = "Tensor x, Tensor offset, Tensor weight"
_SHAPE = "int stride, int padding, int dilation, int deform_groups"
_library = torch.library.Library("spatial_attention", "FRAGMENT")
_library.define(f"deform_conv2d({_GIVEN}, {_SHAPE}) -> Tensor")
_library.define(
    f"deform_conv2d_backward(Tensor grad, {_GIVEN}, {_SHAPE}, bool of_input, bool of_weight)"
    " -> (Tensor, Tensor, Tensor)"
)
_operators = torch.ops.spatial_attention


def convolve(x: Tensor, offset: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """Convolve (N, C, H, W) with the offsets (N, deform_groups * 2 * K * K, H', W').

    The result has the type of the offsets, and is contiguous.
    """
    out: Tensor = _DeformConv2d.apply(x, offset, weight, shape)
    return out


def fits(x: Tensor, offset: Tensor, weight: Tensor) -> bool:
    """Whether mmcv's kernels can calculate it."""
    size = weight.shape[-1]
    return (
        x.shape[0] > 0
        and min(x.shape[-2:]) >= size
        and x.shape[1] * size**2 * offset.shape[-2] * offset.shape[-1] <= ELEMENTS
    )


@torch.compiler.assume_constant_result
def is_compiled_for(device: str) -> bool:
    """Whether mmcv is there, with its compiled part for a type of device."""
    try:
        extension = _extension()
    except ImportError:
        return False
    return device != "cuda" or extension.get_compiling_cuda_version() != "not available"


@functools.cache
def _extension() -> Any:
    return importlib.import_module("mmcv._ext")


class _DeformConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, offset: Tensor, weight: Tensor, shape: Shape) -> Tensor:
        ctx.save_for_backward(x, offset, weight)
        ctx.shape = shape
        out: Tensor = _operators.deform_conv2d(x, offset, weight, *shape)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        by_x, by_offset, by_weight, _ = ctx.needs_input_grad
        gradients = _operators.deform_conv2d_backward(
            grad, *ctx.saved_tensors, *ctx.shape, by_x or by_offset, by_weight
        )
        wanted = (by_x, by_offset, by_weight)
        return (*(g if want else None for g, want in zip(gradients, wanted, strict=True)), None)


def _forward(x: Tensor, offset: Tensor, weight: Tensor, *shape: int) -> Tensor:
    kind = offset.dtype
    x, offset, weight = _exact(x, offset, weight)
    out = x.new_empty(x.shape[0], weight.shape[0], *offset.shape[-2:])
    unused = x.new_empty(0)
    for images, options in _parts(x, offset, weight, shape):
        _extension().deform_conv_forward(
            x[images], weight, offset[images], out[images], unused, unused, **options
        )
    return out.to(kind)


def _backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, *rest: int
) -> tuple[Tensor, Tensor, Tensor]:
    *shape, of_input, of_weight = rest
    kinds = [tensor.dtype for tensor in (x, offset, weight)]
    grad, x, offset, weight = _exact(grad, x, offset, weight)
    by_x, by_offset, by_weight = map(torch.zeros_like, (x, offset, weight))
    unused = x.new_empty(0)
    for images, options in _parts(x, offset, weight, shape):
        given = x[images], offset[images], grad[images]
        if of_input:
            _extension().deform_conv_backward_input(
                *given, by_x[images], by_offset[images], weight, unused, **options
            )
        if of_weight:
            _extension().deform_conv_backward_parameters(
                *given, by_weight, unused, unused, scale=1, **options
            )
    x, offset, weight = (
        by.to(kind) for by, kind in zip((by_x, by_offset, by_weight), kinds, strict=True)
    )
    return x, offset, weight


def _exact(*tensors: Tensor) -> list[Tensor]:
    """Return them in one type, single precision at least, and contiguous."""
    double = any(tensor.dtype == torch.float64 for tensor in tensors)
    kind = torch.float64 if double else torch.float32
    # Type and layout change in one copy. The second call is for strides that are no format.
    plain = torch.contiguous_format
    return [tensor.to(kind, memory_format=plain).contiguous() for tensor in tensors]


def _parts(
    x: Tensor, offset: Tensor, weight: Tensor, shape: Any
) -> Iterator[tuple[slice, dict[str, int]]]:
    """Yield which images are calculated together, and what the extension wants to know."""
    stride, padding, dilation, deform_groups = shape
    size = weight.shape[-1]
    step = min(IMAGES, ELEMENTS // (x.shape[1] * size**2 * offset.shape[-2] * offset.shape[-1]))
    options = {
        "kW": size, "kH": size, "dW": stride, "dH": stride, "padW": padding, "padH": padding,
        "dilationW": dilation, "dilationH": dilation, "group": 1,
        "deformable_group": deform_groups,
    }  # fmt: skip
    for first in range(0, x.shape[0], step):
        images = slice(first, min(first + step, x.shape[0]))
        yield images, {**options, "im2col_step": images.stop - images.start}


def _fake_forward(x: Tensor, offset: Tensor, weight: Tensor, *shape: int) -> Tensor:
    return offset.new_empty(x.shape[0], weight.shape[0], *offset.shape[-2:])


def _fake_backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, *rest: int
) -> tuple[Tensor, Tensor, Tensor]:
    x, offset, weight = (tensor.new_empty(tensor.shape) for tensor in (x, offset, weight))
    return x, offset, weight


for _name, _calculate, _fake in (
    ("deform_conv2d", _forward, _fake_forward),
    ("deform_conv2d_backward", _backward, _fake_backward),
):
    _library.impl(_name, _calculate, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spatial_attention::{_name}", _fake, lib=_library)


@register_flop_formula(_operators.deform_conv2d)
def _flops(x: Any, offset: Any, weight: Any, *_: Any, **__: Any) -> int:
    flops: int = 2 * x[0] * offset[-2] * offset[-1] * torch.Size(weight).numel()
    return flops


@register_flop_formula(_operators.deform_conv2d_backward)
def _backward_flops(grad: Any, *given: Any, **options: Any) -> int:
    # Each of the two gradients is one product, as of the plain convolution.
    of_input, of_weight = given[-2:]
    return _flops(*given[:3]) * (of_input + of_weight)
