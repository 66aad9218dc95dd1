"""The operator that :func:`attend` calls, with its shapes, its gradient and its count of FLOPs."""

from __future__ import annotations

import functools
import os
import warnings
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

from plugins.attention.kernels.attend import in_torch
from plugins.attention.kernels.attend.inputs import Inputs
from plugins.attention.kernels.attend.layout import empty_gradient, empty_heads_last
from plugins.attention.kernels.attend.window import Window

__all__ = ["attend", "kernel_for"]

_LIBRARY = torch.library.Library("spatial_attention", "DEF")
_INPUTS = (
    "Tensor? query, Tensor? key, Tensor value, Tensor? outer, Tensor? inner, Tensor? score, "
    "Tensor? bias, float scale, SymInt[]? window"
)
_LIBRARY.define(f"attend({_INPUTS}) -> (Tensor, Tensor)")
_LIBRARY.define(
    f"attend_backward(Tensor grad, {_INPUTS}, Tensor out, Tensor total, bool wants_score) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"
)


def attend(
    query: Tensor | None,
    key: Tensor | None,
    value: Tensor,
    outer: Tensor | None = None,
    inner: Tensor | None = None,
    score: Tensor | None = None,
    *,
    bias: Tensor | None = None,
    scale: float = 1.0,
    window: Window | None = None,
) -> Tensor:
    """Attend with energies scale * (query + bias) . key + outer + inner + score.

    Softmax and energies are of float32 at least. The gradient is the same in every run, bit for
    bit. Differentiable once. Nothing that has the size of queries times keys is kept.

    Parameters
    ----------
    query: Tensor, optional
        (B, M, Qo, Qi, d), queries on a grid; of a sequence Qo is 1. At least one of `query`,
        `outer` and `inner` is given.
    key: Tensor, optional
        (B, M, Ko, Ki, d), keys on a grid; given with `query`.
    value: Tensor
        (B, M, Ko, Ki, e).
    outer, inner: Tensor, optional
        (B, M, Qo, Qi, Ko) and (B, M, Qo, Qi, Ki): energies of a key's place on either axis. -inf
        hides a row or a column of keys.
    score: Tensor, optional
        (B, M, Ko, Ki), an energy of the key; -inf hides it.
    bias: Tensor, optional
        (M, d), added to every query.
    scale: float
        Factor on the products.
    window: Window, optional
        Hides keys by their distance.

    Returns
    -------
    Tensor
        (B, M, Qo, Qi, e), heads last in memory; 0 for a query that sees no key.
    """
    kind = value.device.type
    if kind != "meta" and torch.is_autocast_enabled(kind):
        half = torch.get_autocast_dtype(kind)
        value = value.to(half)
        query, key = (None if t is None else t.to(half) for t in (query, key))
    elif query is not None and key is not None:
        query, key = query.to(value.dtype), key.to(value.dtype)
    sizes = None if window is None else [*window]
    out: Tensor = _Attend.apply(scale, sizes, query, key, value, outer, inner, score, bias)
    return out


class _Attend(torch.autograd.Function):
    """The operator and its gradient. Outside of the operator, this costs a call the least time."""

    @staticmethod
    def forward(ctx: Any, scale: float, window: list[int] | None, *tensors: Any) -> Tensor:
        out: Tensor
        out, total = torch.ops.spatial_attention.attend(*tensors, scale, window)
        ctx.save_for_backward(*tensors, out, total)
        ctx.scale, ctx.window = scale, window
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *tensors, out, total = ctx.saved_tensors
        *wanted, wants_bias = ctx.needs_input_grad[2:]
        found = torch.ops.spatial_attention.attend_backward(
            grad, *tensors, ctx.scale, ctx.window, out, total, wanted[5]
        )
        of_bias = None
        if wants_bias:
            # The bias is added to every query.
            of_bias = found[0].sum(dim=(0, 2, 3), dtype=tensors[6].dtype)
        gradients = zip(found, wanted, strict=True)
        return None, None, *(of if want else None for of, want in gradients), of_bias


def kernel_for(inputs: Inputs) -> Any:
    """Return the module with the kernels if they serve these tensors, else None."""
    if inputs.value.device.type != "cuda":
        return None
    launch = _launch()
    return launch if launch is not None and launch.serves(inputs) else None


@functools.cache
def _launch() -> ModuleType | None:
    """Return the module with the kernels, None without Triton or where the user says so."""
    if os.environ.get("STUDY_FUSED") == "0":
        return None
    try:
        from plugins.attention.kernels.attend import launch
    except ImportError as error:
        warnings.warn(
            f"attention has no fused kernel without Triton, and is slower: {error}", stacklevel=2
        )
        return None
    return launch


@torch.library.impl(_LIBRARY, "attend", "CompositeExplicitAutograd")
def _attend(*arguments: Any) -> tuple[Tensor, Tensor]:
    inputs = Inputs.of(*arguments)
    kernel = kernel_for(inputs)
    if kernel is None:
        return in_torch.forward(inputs), inputs.value.new_empty(0, dtype=torch.float32)
    with torch.cuda.device_of(inputs.value):
        found: tuple[Tensor, Tensor] = kernel.forward(inputs)
    return found


@torch.library.impl(_LIBRARY, "attend_backward", "CompositeExplicitAutograd")
def _attend_backward(grad: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    *given, out, total, wants_score = arguments
    inputs = Inputs.of(*given)
    kernel = kernel_for(inputs)
    if kernel is None:
        found = in_torch.backward(grad, inputs, wants_score)
    else:
        with torch.cuda.device_of(inputs.value):
            found = kernel.backward(grad, inputs, out, total, wants_score)
    # An operator returns no None.
    return tuple(inputs.value.new_empty(0) if gradient is None else gradient for gradient in found)


@torch.library.register_fake("spatial_attention::attend", lib=_LIBRARY)
def _attend_shape(*arguments: Any) -> tuple[Tensor, Tensor]:
    inputs = Inputs.of(*arguments)
    value, grid = inputs.value, inputs.grid
    batch, heads, _, _, features = value.shape
    out = empty_heads_last((batch, heads, *grid, features), value)
    totals = 0 if kernel_for(inputs) is None else batch * heads * grid[0] * grid[1]
    return out, value.new_empty(totals, dtype=torch.float32)


@torch.library.register_fake("spatial_attention::attend_backward", lib=_LIBRARY)
def _attend_backward_shape(grad: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    *given, _, _, wants_score = arguments
    query, key, value, outer, inner, score, *_ = Inputs.of(*given)
    nothing = value.new_empty(0)
    tables = (outer, inner, score if wants_score else None)
    return (
        *(nothing if t is None else empty_heads_last(t.shape, t) for t in (query, key, value)),
        *(nothing if t is None else empty_gradient(t) for t in tables),
    )


def _products(query: Any, value: Any, outer: Any, inner: Any) -> tuple[int, int]:
    """FLOPs of the products of queries with keys, and of weights with values; from shapes."""
    batch, heads, *keys, features = value
    table = outer if inner is None else inner
    grid = (table if query is None else query)[2:4]
    pairs = batch * heads * grid[0] * grid[1] * keys[0] * keys[1]
    return 2 * pairs * (0 if query is None else query[4]), 2 * pairs * features


@register_flop_formula(torch.ops.spatial_attention.attend)
def _attend_flops(
    query: Any, key: Any, value: Any, outer: Any, inner: Any, *_: Any, **__: Any
) -> int:
    return sum(_products(query, value, outer, inner))


@register_flop_formula(torch.ops.spatial_attention.attend_backward)
def _attend_backward_flops(
    grad: Any, query: Any, key: Any, value: Any, outer: Any, inner: Any, *_: Any, **__: Any
) -> int:
    content, values = _products(query, value, outer, inner)
    return 3 * content + 2 * values
