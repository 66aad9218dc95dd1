"""The two ends of a block in few kernels: projected contents, and the residual sum."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.tiles import in_single

__all__ = ["folded_key", "in_one", "project", "residual", "tokens"]


def in_one(
    operator: Callable[..., Tensor], left: Tensor, right: Tensor, kind: torch.dtype
) -> Tensor:
    """Return operator(left, right) in the shape of `left`, contiguous, of a type: one kernel."""
    if torch.compiler.is_compiling():
        # The compiler fuses these, and forgets how memory lies that is passed as `out`.
        return operator(left, right).to(kind).contiguous()
    made = torch.empty(left.shape, dtype=kind, device=left.device)
    return operator(left, right, out=made)


class _Tokens(torch.autograd.Function):
    """See :func:`tokens`. The map goes through, so that its gradients are added in one pass."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, kind: torch.dtype, strides: tuple[int, ...]
    ) -> tuple[Tensor, ...]:
        ctx.set_materialize_grads(False)
        ctx.strides, ctx.shape = strides, x.shape
        last, made = x.permute(0, 2, 3, 1), []
        for stride in strides:
            every = last[:, ::stride, ::stride]
            if every.dtype != kind or not every.is_contiguous():
                every = every.to(kind, copy=True, memory_format=torch.contiguous_format)
            if stride == 1:
                last = every  # whose features lie together
            made.append(every)
        return x.view_as(x), *made

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_map: Tensor | None, *of_tokens: Tensor | None) -> tuple[Any, ...]:
        total, own = of_map, False
        for stride, gradient in zip(ctx.strides, of_tokens, strict=True):
            if gradient is None:
                continue
            gradient = gradient.permute(0, 3, 1, 2)
            if total is None:
                total, own = gradient.new_zeros(ctx.shape), True
            if stride == 1:
                total = total + gradient
            else:
                total = total if own else total.clone()
                total[..., ::stride, ::stride].add_(gradient)
            own = True
        return total, None, None


def tokens(x: Tensor, kind: torch.dtype, *strides: int) -> tuple[Tensor, ...]:
    """Take every stride-th row and column, features last; one copy for each stride.

    Parameters
    ----------
    x: Tensor
        (N, C, H, W).
    kind: torch.dtype
        Type of the copies.

    Returns
    -------
    tuple of Tensor
        `x`, to be used in its place, and for each stride (N, H / stride, W / stride, C).
    """
    made: tuple[Tensor, ...] = _Tokens.apply(x, kind, strides)
    return made


def project(
    block: Block2d,
    x: Tensor,
    kind: torch.dtype,
    of_queries: Sequence[Tensor],
    of_keys: Sequence[Tensor],
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Project queries and keys, by one product if they are the same positions.

    Parameters
    ----------
    of_queries, of_keys: sequence of Tensor
        Weights of 1x1 convolutions, (M * d, C, 1, 1).

    Returns
    -------
    x: Tensor
        The map, to be used in its place.
    keys: Tensor
        (N, Hk, Wk, C), not projected.
    projected: list of Tensor
        (N, M, H, W, d) for each weight, those of the queries first; heads last in memory.
    """
    sets = [(block.q_stride, of_queries), (block.kv_stride, of_keys)]
    if block.q_stride == block.kv_stride or not of_queries:
        sets = [(block.kv_stride, [*of_queries, *of_keys])]
    inner = block.heads * block.head_dim
    x, *inputs = tokens(x, kind, *(stride for stride, _ in sets))
    weights = [weight.flatten(1) for _, some in sets for weight in some]
    joined = (weights[0] if len(weights) == 1 else torch.cat(weights)).to(kind)
    parts = joined.split([len(some) * inner for _, some in sets]) if len(sets) > 1 else [joined]
    projected: list[Tensor] = []
    for positions, part in zip(inputs, parts, strict=True):
        product = F.linear(positions, part)
        projected += product.split(inner, dim=3) if len(part) > inner else [product]
    heads = (block.heads, block.head_dim)
    return x, inputs[-1], [p.unflatten(3, heads).permute(0, 3, 1, 2, 4) for p in projected]


class _Residual(torch.autograd.Function):
    """x + gamma * out, where out is (N, H, W, C), or (N, 1, 1, C) for all positions."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gamma: Tensor, out: Tensor) -> Tensor:
        ctx.save_for_backward(gamma, out)
        return torch.addcmul(x, gamma, out.permute(0, 3, 1, 2))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        gamma, out = ctx.saved_tensors
        last = grad.permute(0, 2, 3, 1)
        if out.shape[1:3] == last.shape[1:3]:
            of_gamma = (last * out).sum().view(1)
        else:
            last = last.sum(dim=(1, 2), keepdim=True)
            of_gamma = torch.dot(last.flatten().to(out.dtype), out.flatten()).view(1)
        # Features together, in the type of the products that follow.
        return grad, of_gamma, in_one(torch.mul, last, gamma, out.dtype)


def residual(block: Block2d, x: Tensor, attended: Tensor, kind: torch.dtype) -> Tensor:
    """Project what was attended, (N, H or 1, W or 1, M * d), and add it to the input.

    The products are made in the type of `attended`; the result has the type that they would give
    in `kind`.
    """
    layer = block.proj_conv
    assert layer.bias is not None
    weight, bias = layer.weight.flatten(1).to(attended.dtype), layer.bias.to(attended.dtype)
    out = F.linear(attended.flatten(0, 2), weight, bias).unflatten(0, attended.shape[:3])
    if block.q_stride > 1 and out.shape[1:3] != (1, 1):
        size = x.shape[-2:]
        maps = out.permute(0, 3, 1, 2)
        maps = F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
        out = maps.permute(0, 2, 3, 1)
    result: Tensor = _Residual.apply(x, block.gamma, out)
    wanted = torch.promote_types(torch.promote_types(x.dtype, block.gamma.dtype), kind)
    return result.to(wanted)


def folded_key(block: Block2d) -> Tensor:
    """Return u K, (M, C): u . (K x) is calculated as (u K) . x, a product less for each key."""
    weight = in_single(block.key_conv.weight).flatten(1).unflatten(0, (block.heads, -1))
    bias = in_single(block.appr_bias).view(block.heads, 1, -1)
    return torch.bmm(bias, weight).squeeze(1)
