"""0011: a softmax over the columns of each key row, then one over the rows.

No number is made for a pair of query and key. Each softmax is stable by itself; the second one's
energies are the logarithms of what the first ones summed up to.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from plugins.attention.core.energy import exactly
from plugins.attention.kernels.maps.block import Block2d
from plugins.attention.kernels.maps.lean.ends import folded_key, project, residual
from plugins.attention.kernels.maps.lean.position import of_position
from plugins.attention.kernels.maps.tiles import in_single

__all__ = ["nested"]


class _Nested(torch.autograd.Function):
    """From values (N, M, Hk, Wk, d), scores (N, M, Hk, Wk) and tables: (N, M, W, H, d)."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, score: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        value = value.contiguous()
        energy = columns[None, :, None] + score.unsqueeze(3)  # (N, M, Hk, W, Wk)
        weights = energy.log_softmax(dim=-1)
        total = energy[..., 0] - weights[..., 0]  # what log_softmax took off: the logarithm
        weights = weights.exp_()
        within = _product(weights, value).transpose(2, 3).contiguous()  # (N, M, W, Hk, d)
        energy = rows[None, :, None] + total.transpose(2, 3).unsqueeze(3)  # (N, M, W, H, Hk)
        across = energy.softmax(dim=-1)
        ctx.save_for_backward(value, weights, within, across)
        return _product(across, within)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        value, weights, within, across = ctx.saved_tensors
        with exactly(grad):
            grad = grad.contiguous()
            of_within = _product(across.mT, grad).transpose(2, 3).contiguous()
            energy = _slope(_product(grad, within.mT), across)
            of_rows, of_total = energy.sum(dim=(0, 2)), energy.sum(dim=3)
            of_value = _product(weights.mT, of_within)
            energy = _slope(_product(of_within, value.mT), weights)
            # The gradient of the logarithm of a sum is a softmax.
            energy.addcmul_(weights, of_total.transpose(2, 3).unsqueeze(4))
            return of_value, energy.sum(dim=3), of_rows, energy.sum(dim=(0, 2))


def _product(left: Tensor, right: Tensor) -> Tensor:
    product = torch.bmm(left.flatten(0, 2), right.flatten(0, 2))
    return product.unflatten(0, left.shape[:3])


def _slope(of_weights: Tensor, weights: Tensor) -> Tensor:
    return torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)


def nested(block: Block2d, x: Tensor, kind: torch.dtype) -> Tensor:
    """0011; calculated in float32, as it has few products."""
    single = torch.promote_types(x.dtype, torch.float32)
    x, keys, (value,) = project(block, x, single, [], [in_single(block.value_conv.weight)])
    score = F.linear(keys, folded_key(block)).permute(0, 3, 1, 2)
    rows, columns = of_position(block, x, block.grid(x), keys.shape[1:3])
    attended: Tensor = _Nested.apply(value, score, rows, columns)
    return residual(block, x, attended.permute(0, 3, 2, 1, 4).flatten(3), kind)
