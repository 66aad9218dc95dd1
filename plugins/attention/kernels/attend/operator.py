"""The operator that :func:`attend` calls, with its shapes, its gradient and its count of FLOPs."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.flop_counter import register_flop_formula

from plugins.attention.kernels.attend import in_torch
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
    out: Tensor = _Attend.apply(query, key, value, outer, inner, score, bias, scale, sizes)
    return out


class _Attend(torch.autograd.Function):
    """The operator and its gradient. Outside of the operator, this costs a call the least time."""

    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor | None,
        key: Tensor | None,
        value: Tensor,
        outer: Tensor | None,
        inner: Tensor | None,
        score: Tensor | None,
        bias: Tensor | None,
        scale: float,
        window: list[int] | None,
    ) -> Tensor:
        inputs = (query, key, value, outer, inner, score, bias)
        out, total = torch.ops.spatial_attention.attend(*inputs, scale, window)
        ctx.save_for_backward(*inputs, out, total)
        ctx.scale, ctx.window = scale, window
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, out, total = ctx.saved_tensors
        wants_score = ctx.needs_input_grad[5]
        found = torch.ops.spatial_attention.attend_backward(
            grad, *inputs, ctx.scale, ctx.window, out, total, wants_score
        )
        gradients = [
            gradient if wanted and of is not None else None
            for gradient, of, wanted in zip(found, inputs, ctx.needs_input_grad, strict=False)
        ]
        of_bias = None
        if ctx.needs_input_grad[6]:
            # The bias is added to every query.
            of_bias = found[0].sum(dim=(0, 2, 3), dtype=inputs[6].dtype)
        return (*gradients, of_bias, None, None)


def kernel_for(value: Tensor, query: Tensor | None) -> Any:
    """Return the module with the kernels if they serve these tensors, else None."""
    if value.device.type != "cuda":
        return None
    launch = _launch()
    return launch if launch is not None and launch.serves(value, query) else None


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


def _grid(query: Tensor | None, outer: Tensor | None, inner: Tensor | None) -> tuple[int, int]:
    table = outer if inner is None else inner
    of = table if query is None else query
    if of is None:
        raise ValueError("attend needs a query or a table of energies to know the queries from")
    return of.shape[2], of.shape[3]


def _window(sizes: Sequence[int] | None) -> Window | None:
    return None if sizes is None else Window(*sizes)


@torch.library.impl(_LIBRARY, "attend", "CompositeExplicitAutograd")
def _attend(
    query: Tensor | None,
    key: Tensor | None,
    value: Tensor,
    outer: Tensor | None,
    inner: Tensor | None,
    score: Tensor | None,
    bias: Tensor | None,
    scale: float,
    window: Sequence[int] | None,
) -> tuple[Tensor, Tensor]:
    arguments = (query, key, value, outer, inner, score, bias, scale, _window(window))
    grid = _grid(query, outer, inner)
    kernel = kernel_for(value, query)
    if kernel is not None:
        with torch.cuda.device_of(value):
            found: tuple[Tensor, Tensor] = kernel.forward(*arguments, grid)
        return found
    return in_torch.forward(*arguments, grid), value.new_empty(0, dtype=torch.float32)


@torch.library.impl(_LIBRARY, "attend_backward", "CompositeExplicitAutograd")
def _attend_backward(
    grad: Tensor,
    query: Tensor | None,
    key: Tensor | None,
    value: Tensor,
    outer: Tensor | None,
    inner: Tensor | None,
    score: Tensor | None,
    bias: Tensor | None,
    scale: float,
    window: Sequence[int] | None,
    out: Tensor,
    total: Tensor,
    wants_score: bool,
) -> tuple[Tensor, ...]:
    arguments = (query, key, value, outer, inner, score, bias, scale, _window(window))
    kernel = kernel_for(value, query)
    if kernel is not None:
        with torch.cuda.device_of(value):
            found = kernel.backward(grad, *arguments, out, total, wants_score)
    else:
        found = in_torch.backward(grad, *arguments, wants_score)
    # An operator returns no None.
    return tuple(value.new_empty(0) if gradient is None else gradient for gradient in found)


@torch.library.register_fake("spatial_attention::attend", lib=_LIBRARY)
def _attend_shape(
    query: Any, key: Any, value: Any, outer: Any, inner: Any, score: Any, bias: Any, *_: Any
) -> tuple[Tensor, Tensor]:
    batch, heads, features = value.shape[0], value.shape[1], value.shape[4]
    grid = _grid(query, outer, inner)
    out = empty_heads_last((batch, heads, *grid, features), value)
    totals = batch * heads * grid[0] * grid[1] if kernel_for(value, query) is not None else 0
    return out, value.new_empty(totals, dtype=torch.float32)


@torch.library.register_fake("spatial_attention::attend_backward", lib=_LIBRARY)
def _attend_backward_shape(
    grad: Any, query: Any, key: Any, value: Any, outer: Any, inner: Any, score: Any, *rest: Any
) -> tuple[Tensor, ...]:
    nothing = value.new_empty(0)
    projected = (
        nothing if t is None else empty_heads_last(t.shape, t) for t in (query, key, value)
    )
    score = score if rest[-1] else None
    tables = (nothing if t is None else empty_gradient(t) for t in (outer, inner, score))
    return (*projected, *tables)


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
