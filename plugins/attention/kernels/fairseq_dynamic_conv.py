"""fairseq's CUDA kernel of dynamic convolution as an operator of torch, where it is built.

It is the extension ``dynamicconv_cuda`` of fairseq/modules/dynamicconv_layer, which fairseq's own
``DynamicConv`` uses in training if it can be imported. fairseq's wheels do not bring it; its
``setup.py`` builds it from a checkout.

The kernel is compiled for certain numbers of taps, around the position or up to it. For others it
prints a warning and returns zeros. It knows no bfloat16, and in float16 it adds up in float16: the
operator here calculates in single precision at least. Beyond 31 taps several warps share a buffer
that its forward pass moves without waiting for all of them, so these are not taken.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["convolve", "fits"]

TAPS = (3, 5, 7, 15, 31)
"""Numbers of taps that the kernel is compiled for; it is also for 63, 127 and 255."""

ELEMENTS = 2**31 - 1
"""Most elements of a tensor, in which the kernel counts with 32 bits."""

_library = torch.library.Library("spatial_attention", "FRAGMENT")
_library.define("dynamic_conv1d(Tensor weight, Tensor x, int before) -> Tensor")
_library.define(
    "dynamic_conv1d_backward(Tensor grad, Tensor weight, Tensor x, int before) -> (Tensor, Tensor)"
)
_operators = torch.ops.spatial_attention


def convolve(weight: Tensor, x: Tensor, before: int) -> Tensor:
    """Apply the kernels (N, T, H, K) to (N, T, C), `before` of the taps before the position."""
    out: Tensor = _DynamicConv1d.apply(weight, x, before)
    return out


def fits(weight: Tensor, x: Tensor, before: int) -> bool:
    """Whether the kernel is built and can calculate it."""
    taps = weight.shape[-1]
    return (
        taps in TAPS
        and before in (taps // 2, taps - 1)
        and x.numel() > 0
        and max(x.numel(), weight.numel()) <= ELEMENTS
        and is_built()
    )


@torch.compiler.assume_constant_result
def is_built() -> bool:
    """Whether fairseq's extension can be imported."""
    try:
        _extension()
    except ImportError:
        return False
    return True


@functools.cache
def _extension() -> Any:
    return importlib.import_module("dynamicconv_cuda")


class _DynamicConv1d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, x: Tensor, before: int) -> Tensor:
        ctx.save_for_backward(weight, x)
        ctx.before = before
        out: Tensor = _operators.dynamic_conv1d(weight, x, before)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        by_weight, by_x = _operators.dynamic_conv1d_backward(grad, *ctx.saved_tensors, ctx.before)
        return by_weight, by_x, None


def _forward(weight: Tensor, x: Tensor, before: int) -> Tensor:
    (out,) = _extension().forward(_time_last(x), _time_last(weight), before)
    return _time_second(out, x.dtype)


def _backward(grad: Tensor, weight: Tensor, x: Tensor, before: int) -> tuple[Tensor, Tensor]:
    by_x, by_weight = _extension().backward(
        _time_last(grad), before, _time_last(x), _time_last(weight)
    )
    return _time_second(by_weight, weight.dtype), _time_second(by_x, x.dtype)


def _time_last(x: Tensor) -> Tensor:
    """(N, T, ...) to the kernel's (N, ..., T), in single precision at least."""
    kind = torch.float64 if x.dtype == torch.float64 else torch.float32
    # Type and layout change in one copy, if there are both.
    return x.movedim(1, -1).to(kind, memory_format=torch.contiguous_format).contiguous()


def _time_second(x: Tensor, kind: torch.dtype) -> Tensor:
    return x.movedim(-1, 1).to(kind, memory_format=torch.contiguous_format).contiguous()


def _fake_forward(weight: Tensor, x: Tensor, before: int) -> Tensor:
    return x.new_empty(x.shape)


def _fake_backward(grad: Tensor, weight: Tensor, x: Tensor, before: int) -> tuple[Tensor, Tensor]:
    return weight.new_empty(weight.shape), x.new_empty(x.shape)


for _name, _calculate, _fake in (
    ("dynamic_conv1d", _forward, _fake_forward),
    ("dynamic_conv1d_backward", _backward, _fake_backward),
):
    _library.impl(_name, _calculate, "CompositeExplicitAutograd")
    torch.library.register_fake(f"spatial_attention::{_name}", _fake, lib=_library)
